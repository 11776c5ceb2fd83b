"""Every JSON document of one scripted scenario, recorded from an older program to hold the present one against.

``python -m tests.acceptance.json_outputs CHECKOUT NAME`` runs the scenario with the program of CHECKOUT and writes
``state/NAME.json``. It runs twice: values that differ between the runs are volatile, and only their type is kept.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from batchgen.sandbox import launch

from .kit import Workspace

STATE = Path(__file__).parent / "state"
MANIFEST = """
name: shop
retry: {attempts: 3, first_wait: 0.05, max_wait: 0.2}
on_unknown: hold
jobs:
  - {id: fox, provider: openai, prompt: A fox, quality: low, n: 2, tags: [animals]}
  - {id: boat, provider: gptimageapi, prompt: A boat, quality: low}
  - {id: lamp, provider: openrouter, prompt: A lamp}
  - {id: duel, provider: openai, prompt: "A duel [sandbox: refuse]", quality: low}
  - {id: storm, provider: openai, prompt: "A storm [sandbox: drop]", quality: low}
"""
RUN = ("run", "m.yaml", "--yes", "--latency", "none", "-j", "1", "--budget", "5", "--allow-unpriced")
#: Each document by its name and the command that prints it; the commands run in this order.
COMMANDS: dict[str, tuple[str, ...]] = {
    "validate": ("validate", "m.yaml", "--json"),
    "plan": ("plan", "m.yaml", "--json"),
    "run": (*RUN, "--json", "--metrics-file", "m.prom", "--log-file", "log.jsonl"),
    "run again": (*RUN, "--progress", "json"),
    "status": ("status", "--json"),
    "list": ("list", "--json"),
    "list runs": ("list", "runs", "--json"),
    "show done": ("show", "fox", "--json"),
    "show failed": ("show", "duel", "--json"),
    "show unknown": ("show", "storm", "--json"),
    **{f"usage by {name}": ("usage", "--json", "--by", name)
       for name in ("provider", "model", "day", "tag", "run", "batch")},
    "usage csv": ("usage", "--csv"),
    "unknown": ("unknown", "list", "--json"),
    "verify": ("verify", "--json"),
    "export json": ("export", "--format", "json"),
    "export jsonl": ("export", "--format", "jsonl"),
    "export csv": ("export", "--format", "csv"),
    "pause": ("pause", "openai", "--json"),
    "unpause": ("unpause", "openai", "--json"),
    "limit": ("limit", "openai", "requests_per_minute=60", "--json"),
    "cancel": ("cancel", "--id", "duel", "--cause", "refused", "--json"),
    "unknown drop": ("unknown", "drop", "--id", "storm", "--json"),
    "clean": ("clean", "--json"),
    "db check": ("db", "check", "--json"),
    "db path": ("db", "path", "--json"),
    "doctor": ("doctor", "--json"),
    "providers list": ("providers", "list", "--json"),
    "providers models": ("providers", "models", "openai", "--json"),
    "providers prices": ("providers", "prices", "--json"),
    "schema": ("schema",),
}  # fmt: skip
#: These have no --sandbox: they are about the manifest, this machine or the providers.
WITHOUT_SANDBOX = {"validate", "doctor", "providers list", "providers prices", "schema"}
#: Fields of doctor's findings that another machine fills otherwise.
OF_THIS_MACHINE = {"says", "verdict"}
#: The forecast of a plan is a new formula, and the sandbox draws other images.
CHANGED_ON_PURPOSE = {"seconds", "low", "high", "bytes"}
#: A masked value: of this type, whatever it is.
MASKS = {"~text": str, "~number": (int, float), "~flag": bool, "~anything": object, "~list": list}
#: Words for people, paths, addresses, times and ids.
_VOLATILE = re.compile(r"\s|^/|://|\.batchgen|\d{4}-?\d\d-?\d\d|[0-9a-f]{16,}")


def record(project: Workspace) -> dict[str, Any]:
    """Run the scenario; return what each command and each file says."""
    (project.folder / "m.yaml").write_text(MANIFEST, encoding="utf-8")
    found: dict[str, Any] = {}
    try:
        for name, command in COMMANDS.items():
            more = () if name in WITHOUT_SANDBOX else ("--sandbox",)
            done = project.run(*command, *more)
            found[name] = {"exit_code": done.code, "stdout": parse(done.out)}
            if name == "run again":
                found[name]["stderr"] = parse(done.err)
    finally:
        if left := launch.find(project.state / "sandbox"):
            left.stop()
    files = {
        "summary": next(project.state.glob("**/summary.json")),
        "sidecar": next(project.folder.glob("**/fox.png.json")),
        "log": project.folder / "log.jsonl",
    }
    found |= {name: parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    metrics = (project.folder / "m.prom").read_text(encoding="utf-8")
    found["metrics"] = sorted({line.rpartition(" ")[0] for line in metrics.splitlines() if line[:1] != "#"})
    return found


def parse(text: str) -> Any:
    """Return a document, or lines of documents by what they are about, or the head of a table."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    lines = text.splitlines()
    try:
        documents = [json.loads(line) for line in lines]
    except ValueError:
        return lines[:1]
    return {"lines": _by_subject(documents)}


def _by_subject(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first line of each kind: their order and number are those of a run."""
    kinds: dict[str, Any] = {}
    for line in documents:
        names = (line.get(name) for name in ("type", "event", "msg", "job", "id"))
        kinds.setdefault(" ".join(str(name) for name in names if name and " " not in str(name)), line)
    return kinds


def mask(first: Any, second: Any) -> Any:
    """Return what two runs of one program have in common; a volatile value is a word of MASKS."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {name: _mask_field(name, value, second[name]) for name, value in first.items() if name in second}
    if isinstance(first, list) and isinstance(second, list):
        if len(first) != len(second):
            return "~list"
        return [mask(*pair) for pair in zip(first, second, strict=True)]
    if isinstance(first, str) and isinstance(second, str):
        stable = first == second and not _VOLATILE.search(first)
        return first if stable else "~text"
    if isinstance(first, bool) and isinstance(second, bool):
        return first if first == second else "~flag"
    if isinstance(first, float) or (type(first) is type(second) is int and first != second):
        return "~number"
    return first if first == second else "~anything"


def _mask_field(name: str, first: Any, second: Any) -> Any:
    if name in OF_THIS_MACHINE:
        return "~text"
    if name in CHANGED_ON_PURPOSE and isinstance(first, int | float):
        return "~number"
    return mask(first, second)


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return what *new* lacks, or says otherwise; what it has beside that is an addition."""
    if isinstance(old, str) and old in MASKS:
        return [] if isinstance(new, MASKS[old]) else [f"{where}: {old} became {new!r}"]
    if isinstance(old, dict) and isinstance(new, dict):
        gone = [f"{where}/{name} is gone" for name in old if name not in new]
        return gone + _flat(differences(old[name], new[name], f"{where}/{name}") for name in old if name in new)
    if isinstance(old, list) and isinstance(new, list):
        if (keys := _identity(old, new)) is not None:
            by_subject = {_subject(item, keys): item for item in new}
            named = {_subject(item, keys): item for item in old if MASKS.keys().isdisjoint(_subject(item, keys))}
            return _flat(differences(item, by_subject.get(who), f"{where}/{who}") for who, item in named.items())
        if all(isinstance(item, str) for item in old):
            # columns of a table are only added at its end
            kept = {item for item in old if any(line == item or line.startswith(f"{item},") for line in new)}
            return [f"{where}: {item!r} is gone" for item in old if item not in kept and item not in MASKS]
        if len(old) != len(new):
            return [f"{where}: {len(old)} items became {len(new)}"]
        return _flat(differences(*pair, f"{where}/{n}") for n, pair in enumerate(zip(old, new, strict=True)))
    return [] if old == new and type(old) is type(new) else [f"{where}: {old!r} became {new!r}"]


#: What tells the items of a list apart, to which more may be added.
_IDENTITIES = (("about",), ("provider", "model"), ("name",), ("id",))


def _identity(old: list[Any], new: list[Any]) -> tuple[str, ...] | None:
    """Return the names of the fields that tell the items of two lists apart; None if no such fields do."""
    for keys in _IDENTITIES:
        if old and all(isinstance(item, dict) and item.keys() >= set(keys) for item in [*old, *new]):
            subjects = [_subject(item, keys) for item in new]
            if len(set(subjects)) == len(subjects):
                return keys
    return None


def _subject(item: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(item[key]) for key in keys)


def _flat(lists: Any) -> list[str]:
    return [item for items in lists for item in items]


def main(checkout: Path, name: str) -> None:
    """Record the scenario twice with the program of *checkout*."""
    records = []
    for _ in range(2):
        project = Workspace(folder=Path(tempfile.mkdtemp()), program=(sys.executable, "-m", "batchgen"))
        project.env = {"PYTHONPATH": str(checkout)}
        records.append(record(project))
    common = mask(*records)
    lines = (f"{json.dumps(title)}: {json.dumps(document, ensure_ascii=False)}" for title, document in common.items())
    (STATE / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
