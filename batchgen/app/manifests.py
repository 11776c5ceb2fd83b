"""Manifests as users name them: by a path, a folder, the name of a batch, ``-`` for standard input, or not at all."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import ManifestError, NotFound, Problem, UsageError, nearest, suggest
from ..files.opening import reason
from ..store import migrate, records
from .project import Project, open_reader

#: The argument that means standard input; also the name of the path that represents it.
DASH, STDIN = "-", "stdin"
SUFFIXES = (".yaml", ".yml", ".json")
#: Suffixes of files that a manifest reads rows from.
_LISTS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".xlsx", ".xlsm", ".xls", ".ods")
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".heic", ".gif", ".tif", ".tiff")
#: Folders of a project that contain manifests, the working folder first.
_FOLDERS = (".", "jobs", "manifests")
#: A file with one of these keys at its top level is a manifest; batchgen.yaml has none.
_KEY = re.compile(
    r"""(?m)^["']?(?:jobs|prompts|include)["']?\s*:|\A\s*\{(?s:.*?)(?<=[{,\s])["']?(?:jobs|prompts)["']?\s*:\s*[\[{]"""
)
#: Where no file has one of those keys, a manifest with a mistake in it has one of these.
_OTHER_KEY = re.compile(r"""(?mi)^["']?(?:jobs?|prompts?|defaults|output|providers?|budget)["']?\s*:""")
_NAME = re.compile(r"""(?m)^(?:name\s*:|\s*\{?\s*"name"\s*:)\s*(["']?)([^"'#\n,]+)\1""")
_INCLUDED = re.compile(r"""[^\s"',\[\]]+\.(?:ya?ml|json)""")
#: Bytes of a manifest that are searched for its keys.
_HEAD = 200_000
#: JSON files of a folder that are searched: it may be full of sidecars.
_MOST_JSON = 100
_NONE_YET = "give the path of a manifest; batchgen init writes one"
#: Characters of a name that an error shows.
_LONGEST = 100
#: Manifests that an error lists.
_LISTED = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestChoice:
    """The manifest that a command works on."""

    path: Path  #: absolute
    note: str = ""  #: which manifest it is and why, unless the user typed its path


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    """A manifest in the folders of a project."""

    path: Path
    name: str  #: of its batch


def find_manifest(project: Project, word: str | None, command: str, *, last_first: bool = False) -> ManifestChoice:
    """Return the manifest that *word* names; None is the only one of the project, or that of the last run.

    *command* is suggested in errors; *last_first* prefers the manifest of the last run. Raises UsageError,
    ManifestError or NotFound.
    """
    if word is None:
        return _unnamed(project, command, last_first=last_first)
    if word == DASH:
        return ManifestChoice(path=project.root / DASH)
    path = project.root / word
    _require_usable(path, word)
    if path.is_dir() and (candidates := _candidates([path])):
        return _only(project, candidates, command, f"the only manifest in {word}", f"in {word}")
    if path.exists() and not path.is_dir():
        _refuse_list(word)
        return ManifestChoice(path=path)
    if "/" not in word and not word.lower().endswith((*SUFFIXES, *_LISTS)) and not word.startswith("."):
        return _named(project, word, command)
    raise _missing(project, word, is_folder=path.is_dir())


def _require_usable(path: Path, word: str) -> None:
    """Raise ManifestError where the system cannot look for a file of that name."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        shown = word if len(word) <= _LONGEST else f"{word[:_LONGEST]}..."
        raise _problem(shown, "not_readable", reason(error), "") from None


def find_manifests(project: Project, words: Sequence[str], command: str) -> list[Path]:
    """Return the manifests that *words* name, all those of a folder; without words, all those of the project."""
    if not words:
        candidates = _project_candidates(project)
        return [candidate.path for candidate in candidates] or [find_manifest(project, None, command).path]
    paths: list[Path] = []
    for word in words:
        folder = project.root / word
        inside = _candidates([folder]) if os.path.isdir(folder) else []  # noqa: PTH112 - no error for a long name
        paths += [each.path for each in inside] or [find_manifest(project, word, command).path]
    return list(dict.fromkeys(paths))


def batch_name(project: Project, word: str) -> str:
    """Return the name of the batch that *word* names: itself, or that of a manifest."""
    path = project.root / word
    if not os.path.isfile(path):  # noqa: PTH113 - no error for a long name
        return word
    stored = [batch.name for batch in _batches(project) if Path(batch.manifest) == path]
    return stored[0] if stored else next((_name(*each) for each in _texts(path.parent) if each[0] == path), path.stem)


@cache
def standard_input() -> bytes:
    """Return the manifest on standard input, which can be read only once."""
    if sys.stdin.isatty():
        raise UsageError("- reads the manifest from standard input: batchgen run - < jobs/autumn.yaml")
    from ..manifest.yaml_reader import MAX_BYTES

    return sys.stdin.buffer.read(MAX_BYTES + 1)  # The parser refuses what is longer.


def _unnamed(project: Project, command: str, *, last_first: bool) -> ManifestChoice:
    candidates, last = _project_candidates(project), next(iter(_batches(project)), None)
    if last_first and last is None:
        with open_reader(project) as reader:
            reader.batch()  # raises NotFound
    if last is not None and (last_first or len(candidates) != 1):
        path = Path(last.manifest)
        if path.is_file():
            return ManifestChoice(path=path, note=f"manifest  {_shown(project, path)}, the one of the last run")
        if last_first:
            raise _gone(project, path, last.name, command)
    if not candidates:
        raise UsageError(
            f"there is no manifest here (jobs/*.yaml or *.yaml in {project.root}). "
            f"Name one: {project.command_flags().plain(f'{command} FILE.yaml')}; or write one: batchgen init"
        )
    return _only(project, candidates, command, "the only manifest here", "here")


def _only(project: Project, candidates: Sequence[_Candidate], command: str, why: str, where: str) -> ManifestChoice:
    """Return the only one of *candidates*; raise UsageError where there are several."""
    if len(candidates) == 1:
        path = candidates[0].path
        return ManifestChoice(path=path, note=f"manifest  {_shown(project, path)}, {why}")
    flags = project.command_flags()
    lines = [f"  {flags.on_manifest(command, each.path)}" for each in candidates[:_LISTED]]
    more = len(candidates) - _LISTED
    lines += [f"  and {more} more"] if more > 0 else []
    raise UsageError("\n".join([f"there are {len(candidates)} manifests {where}; name one of them:", *lines]))


def _named(project: Project, name: str, command: str) -> ManifestChoice:
    """Return the manifest of the batch *name*: the one that ran, or one in the project's folders."""
    stored = [Path(batch.manifest) for batch in _batches(project) if batch.name == name]
    candidates = [each for each in _project_candidates(project) if name in (each.name, each.path.stem)]
    # A copied project still stores the paths of the original: what lies in its own folders comes first.
    inside = [path for path in stored if path.is_file() and path.is_relative_to(project.root)]
    outside = [path for path in stored if path.is_file()]
    if inside or (outside and not candidates):
        path = (inside or outside)[0]
        return ManifestChoice(path=path, note=f"manifest  {_shown(project, path)}, of batch {name}")
    if candidates:
        return _only(project, candidates, command, f"of batch {name}", f"of batch {name}")
    if stored:
        raise _gone(project, stored[0], name, command)
    if (project.root / name).is_dir():
        raise _missing(project, name, is_folder=True)
    known = [*(batch.name for batch in _batches(project)), *(each.name for each in _project_candidates(project))]
    hint = suggest(name, dict.fromkeys(known)) if known else "batchgen init writes one"
    hint += "" if hint.endswith("?") else "."
    raise NotFound(f"no batch and no manifest here is named {name!r}; {hint} To select a job: --id {shlex.quote(name)}")


def _gone(project: Project, manifest: Path, name: str, command: str) -> NotFound:
    flags = project.command_flags()
    if manifest.name == STDIN:
        again = flags.plain(f"{command} -", "< FILE")
        return NotFound(f"the manifest of batch {name} came from standard input; pipe it in again: {again}")
    again = flags.plain(f"{command} MANIFEST")
    return NotFound(f"the manifest of this batch is missing: {manifest}. If it was moved: {again}")


def _missing(project: Project, word: str, *, is_folder: bool) -> ManifestError:
    if is_folder:
        return _problem(word, "not_a_file", "is a folder without manifests", "jobs: [{from: FOLDER}] reads its photos")
    folders = [project.root / folder for folder in _FOLDERS] + [(project.root / word).parent]
    near = _near(Path(word), [each.path for each in _candidates(dict.fromkeys(path.resolve() for path in folders))])
    known = ", ".join(_shown(project, each.path) for each in _project_candidates(project)[:_LISTED])
    hint = f"did you mean {_shown(project, near)}?" if near else f"there are: {known}" if known else _NONE_YET
    return _problem(word, "not_found", "there is no such file", hint)


def _near(word: Path, paths: Sequence[Path]) -> Path | None:
    """Return the path that was probably meant: in another folder, with another suffix, or with a similar name."""
    similar = nearest(word.stem, [path.stem for path in paths])
    ranks = [(path.name == word.name, path.stem == word.stem, path.stem == similar) for path in paths]
    best = max(zip(ranks, paths, strict=True), key=lambda each: each[0], default=None)
    return best[1] if best is not None and any(best[0]) else None


def _refuse_list(word: str) -> None:
    """Raise ManifestError for a file of rows or an image: a manifest names it."""
    suffix = Path(word).suffix.lower()
    if suffix in _LISTS:
        hint = f"write a manifest with  jobs: [{{from: {Path(word).name}}}]; batchgen init --example catalog shows one"
        raise _problem(word, "not_a_manifest", "is a list, not a manifest", hint)
    if suffix in _IMAGES:
        hint = f"write a manifest with  jobs: [{{images: {Path(word).name}, prompt: ...}}]"
        raise _problem(word, "not_a_manifest", "is an image, not a manifest", hint)


def _problem(file: str, code: str, message: str, hint: str) -> ManifestError:
    return ManifestError((Problem(file=file, line=0, column=0, path="", code=code, message=message, hint=hint),))


def _project_candidates(project: Project) -> list[_Candidate]:
    return _candidates([project.root / folder for folder in _FOLDERS])


def _candidates(folders: Iterable[Path]) -> list[_Candidate]:
    """Return the manifests in *folders*, without those that others of them include."""
    found = {path: text for folder in folders for path, text in _texts(folder)}
    texts = {path: text for path, text in found.items() if _KEY.search(text)}
    texts = texts or {path: text for path, text in found.items() if _OTHER_KEY.search(text)}
    included = {
        (path.parent / name).resolve()
        for path, text in texts.items()
        if "include" in text
        for name in _INCLUDED.findall(text)
        if (path.parent / name).resolve() != path.resolve()
    }
    return [
        _Candidate(path=path, name=_name(path, text)) for path, text in texts.items() if path.resolve() not in included
    ]


def _texts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder that may be manifests, each with its beginning."""
    try:
        names = sorted(folder.iterdir())
    except OSError:
        return
    paths = [path for path in names if path.suffix in SUFFIXES and not path.name.startswith((".", "batchgen."))]
    yaml_files = [path for path in paths if path.suffix != ".json"]
    json_files = [path for path in paths if path.suffix == ".json"][:_MOST_JSON]
    for path in yaml_files + json_files:
        with suppress(OSError):
            if path.is_file():
                with path.open("rb") as file:
                    yield path, file.read(_HEAD).decode("utf-8", "replace").lstrip("\ufeff")


def _name(path: Path, text: str) -> str:
    match = _NAME.search(text)
    return match[2].strip() if match else path.stem


def _batches(project: Project) -> list[records.Batch]:
    """Return the batches of the job database, the one that ran last first."""
    if migrate.revision(project.db) is None:
        return []
    with open_reader(project) as reader:
        return list(reader.batches())


def _shown(project: Project, path: Path) -> str:
    return project.command_flags().manifest(path)
