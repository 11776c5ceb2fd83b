"""Drafts to jobs: sources found, provider chosen, names and fingerprints given.  A decision but for ``Sources``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..errors import Problem
from ..providers.profile import Model
from ..task import Kind, Source, Task
from . import names
from .batch import Planned
from .expand import Draft, fingerprint, invented, key_of, portions
from .offers import Offers
from .places import Path, Places
from .sources import BadSource, Sources

#: Parameters that are text and could be meant as templates, which come with a later version.
_LITERAL = ("id", "prompt", "images", "mask", "size", "quality", "model", "provider", "tags")

_AS_IT_IS = ("size", "quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed")


class Assembly:
    """The jobs of one batch as they come together, and every problem on the way."""

    def __init__(
        self, places: Places, offers: Offers, sources: Sources, *, name: str, file: names.Template, sidecar: bool
    ) -> None:
        self.jobs: list[Planned] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._places = places
        self._offers = offers
        self._sources = sources
        self._name = name
        self._file = file
        self._sidecar = sidecar
        self._keys: dict[str, Path] = {}
        self._files: dict[str, tuple[str, Path]] = {}
        self._asked: dict[str, Path] = {}
        self._deprecated: set[tuple[str, str]] = set()

    def add(self, drafts: Iterable[Draft]) -> None:
        """Turn each draft into its jobs."""
        for draft in drafts:
            self._warn_of_comment(draft)
            if "id" in draft.values:  # taken also by a job that is wrong in other ways
                self._unique(draft, draft.values["id"])
            if self._literal(draft):
                task = self._task(draft)
                chosen = self._offers.choose(draft, task) if task else None
                if chosen:
                    self._split(draft, *chosen)

    def _literal(self, draft: Draft) -> bool:
        templates = [field for field in _LITERAL if "{{" in str(draft.values.get(field, ""))]
        for field in templates:
            message = "templates in jobs ({{ }}) are not supported yet in this version; only output: takes them"
            self._problem(draft.where(field), "not_yet", message, "write the text out")
        return not templates

    def _task(self, draft: Draft) -> Task | None:
        """Return what the draft asks for, with its sources; the provider is still open."""
        values = draft.values
        if "prompt" not in values:
            self._problem(draft.path, "no_prompt", "the job has no prompt", "say what to draw, or what to change")
        if "mask" in values and not values.get("images"):
            self._problem(draft.where("mask"), "no_images", "a mask needs an image to edit", "name it under images")
        found = self._found(draft)
        if found is None or "prompt" not in values or ("mask" in values and not values.get("images")):
            return None
        images, mask = found
        asked: dict[str, Any] = {field: values.get(field) for field in _AS_IT_IS}
        return Task(
            kind=Kind.EDIT if images else Kind.GENERATE,
            prompt=values["prompt"],
            provider="",
            model=values.get("model", ""),
            images=images,
            mask=mask,
            n=min(values.get("n", 1), values.get("per_request", 1)),
            extra=values.get("extra", {}),
            **asked,
        )

    def _found(self, draft: Draft) -> tuple[tuple[Source, ...], Source | None] | None:
        """Return the draft's sources and its mask; None where one is bad, which is reported."""
        field, mask = "images", None
        try:
            images = self._sources.images(draft.values.get("images", []))
            field = "mask"
            if "mask" in draft.values and images:
                mask = self._sources.mask(draft.values["mask"], images[0])
        except BadSource as bad:
            self._problem(draft.where(field), "bad_source", str(bad))
            return None
        return images, mask

    def _split(self, draft: Draft, task: Task, model: Model) -> None:
        """Make the draft's requests: one an image, or of up to ``per_request`` images."""
        values = draft.values
        self._warn_of_model(draft, task, model)
        images = (*values.get("images", ()), values.get("mask", ""))
        name = values.get("id") or invented(task, images)
        first, mark = 0, ""
        for count in portions(values.get("n", 1), values.get("per_request")):
            if count != task.n or first == 0:
                task = replace(task, n=count)
                mark = fingerprint(task)
            if first == 0:
                self._warn_of_twin(draft, mark)
            planned = self._planned(draft, task, key_of(name, first), mark)
            if planned:
                self.jobs.append(planned)
            first += count

    def _planned(self, draft: Draft, task: Task, key: str, mark: str) -> Planned | None:
        if not self._unique(draft, key):
            return None
        output = self._output(draft, task, key)
        if output is None:
            return None
        return Planned(
            key=key,
            task=task,
            fingerprint=mark,
            output=output,
            tags=tuple(draft.values.get("tags", ())),
            priority=draft.values.get("priority", 0),
            sidecar=self._sidecar,
            wanted=task.n,
        )

    def _unique(self, draft: Draft, key: str) -> bool:
        path = draft.where("id")
        flaw = names.control(key)
        if flaw or not key.strip():
            what = f"holds the control character {flaw}" if flaw else "is blank"
            self._problem(path, "bad_id", f"the id {what}")
            return False
        other = self._keys.setdefault(key, path)
        if other == path:
            return True
        before = f"{self._places.file}:{self._places.line(other)}"
        if "id" in draft.values:
            hint = "ids are unique in a manifest; n: 2 takes the id with -2 behind it for its second image"
            self._problem(path, "duplicate_id", f"the id {_short(key)!r} is taken already ({before})", hint)
        else:
            hint = "give both an id, or use n: for several images of one prompt"
            self._problem(path, "duplicate_job", f"asks for exactly what a job without id at {before} asks for", hint)
        return False

    def _output(self, draft: Draft, task: Task, key: str) -> str | None:
        values = {
            "id": key,
            "name": self._name,
            "provider": task.provider,
            "model": task.model,
            "kind": task.kind.value,
        }
        try:
            output = self._file.render(values)
        except names.TemplateFault as fault:
            self._problem(("output", "file"), "template", str(fault))
            return None
        flaw = names.flaw(output)
        if flaw:
            hint = 'choose another id, or write  output: {file: "{{ id | slug }}"}'
            self._problem(draft.where("id"), "bad_name", f"the file name {_short(output)!r} {flaw}", hint)
            return None
        return output if self._free(draft, output, task.n) else None

    def _free(self, draft: Draft, output: str, wanted: int) -> bool:
        """Tell whether no other job writes those files, also where the disk ignores case or composes accents."""
        where = draft.where("id")
        for stem in names.stems(output, wanted):
            other, path = self._files.setdefault(names.folded(stem), (stem, where))
            if path != where:
                message = f"would write the same file as the job at {self._places.file}:{self._places.line(path)}"
                hint = "" if other == stem else f"{_short(stem)!r} and {_short(other)!r} are one name on many disks"
                self._problem(where, "same_file", message, hint or "let output.file hold {{ id }}")
                return False
        return True

    def _warn_of_comment(self, draft: Draft) -> None:
        path = draft.where("prompt")
        if "prompt" in draft.values and self._places.find(path) in self._places.commented:
            message = "the prompt ends before the #; what follows is a comment"
            self.warnings.append(self._places.problem(path, "cut_prompt", message, "put the prompt in quotes"))

    def _warn_of_twin(self, draft: Draft, mark: str) -> None:
        other = self._asked.setdefault(mark, draft.path)
        if other != draft.path:
            message = f"asks for exactly the same image as the job in line {self._places.line(other)}"
            self.warnings.append(self._places.problem(draft.path, "same_job", message, "n: makes several of one"))

    def _warn_of_model(self, draft: Draft, task: Task, model: Model) -> None:
        if model.deprecated and (task.provider, task.model) not in self._deprecated:
            self._deprecated.add((task.provider, task.model))
            message = f"{task.provider} switches {task.model} off on {model.deprecated}"
            self.warnings.append(self._places.problem(draft.where("model"), "deprecated_model", message))

    def _problem(self, path: Path, code: str, message: str, hint: str = "") -> None:
        self.problems.append(self._places.problem(path, code, message, hint))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
