"""Document of the sample page: columns, figures and details of any number of tiles."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from .sample_figures import START, costs, first_rows, head, needs, night, stamp

CHUNK = 500
INLINE = 10_000  # tiles; above them details are in chunks
DRAWN = 60  # pictures that are drawn; the others repeat them

SUBJECTS = ("mug", "lamp", "stool", "kettle", "chair", "fox", "harbour", "poster", "icon", "teapot", "clock", "tram")
STYLES = ("ink", "oil", "watercolour", "studio photo", "line drawing", "low poly", "risograph", "linocut")
PLACES = ("in Oslo", "on slate", "at dawn", "in snow", "under neon", "on a shelf", "in a crowd", "by the sea")
PROVIDERS = ("openai", "aigate", "aimlapi", "openrouter", "gptimageapi", "gateway")
MODELS = ("gpt-image-2", "gpt-image-2-mini", "google/gemini-3-image", "gateway-image")
SIZES = ((1024, 1024), (1536, 1024), (1024, 1536), (1024, 768), (16, 16), (2048, 512))
TAGS = (
    "autumn",
    "seasons",
    "mascot",
    "shop",
    "rooms",
    "icons",
    "posters",
    "a tag of many words that is longer than its place",
)
KINDS = ("tiny", "one-colour", "wrong-size", "no-alpha", "duplicate", "near-duplicate", "same-as-source", "no-c2pa")
CAUSES = ("refused", "throttled", "spoiled", "invalid", "empty", "money", "unknown")
STATES = ("done", "failed", "unknown", "pending")

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<!--<script>",
    '=HYPERLINK("http://example.com")',
    "@SUM(A1)",
    "'; DROP TABLE jobs; --",
    "{{ 7 * 7 }}",
    "\u202etxt.exe\u202c bidi",
    "line separator   and   paragraph",
    "null \x00 and bell \x07",
    "z̸̢̛a̵l̷g̶o̴",
    "👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈",
    "javascript:alert(1)",
    '"><svg onload=alert(1)>',
    "a" * 400,
    "Привет, 世界, مرحبا, שלום",
)


def document(count: int, *, seed: int = 14, chunked: bool | None = None) -> dict[str, Any]:
    """A PageDocument of `count` tiles; the same numbers make the same document."""
    rng = random.Random(seed)
    words: dict[str, Any] = {
        "state": list(STATES),
        "provider": list(PROVIDERS),
        "model": list(MODELS),
        "kind": ["generate", "edit"],
        "tag": list(TAGS),
        "mime": ["image/png", "image/webp", "image/jpeg"],
        "cause": list(CAUSES),
        "prompt": [],
        "suspect": list(KINDS),
        "mode": ["standard"],
        "source": [],
    }
    words["source"] = [
        {
            "path": f"photos/source-{number}.png",
            "url": f"../photos/source-{number}.png",
            "sha": sha(number),
            "width": 1024,
            "height": 768,
        }
        for number in range(8)
    ]
    tiles = columns(count, rng, words["prompt"])
    page = {
        "schema_version": 1,
        "generated_at": "2026-11-29T06:10:00Z",
        "version": "0.10",
        "database": "5a" * 16,
        "sandbox": True,
        "batch": "sample",
        "manifest": "jobs/sample.yaml",
        "zone": 60,
        "root": "../../",
        "folder": "output/sample/",
        "folder_url": "../",
        "buckets": {},
        "commands": {
            name: f"batchgen {name.replace('_', ' ')} jobs/sample.yaml --sandbox"
            for name in ("run", "retry", "redo", "collect", "show", "list", "export", "marks_import")
        },
        "head": head(tiles),
        "night": night(tiles, words),
        "costs": costs(tiles, words),
        "savings": None,
        "needs": needs(tiles, words),
        "at_provider": [],
        "words": words,
        "tiles": tiles,
    }
    if chunked if chunked is not None else count > INLINE:
        page["chunk"] = CHUNK
    else:
        page["details"] = [detail(page, row) for row in first_rows(tiles)]
    return page


def sha(number: int) -> str:
    return hashlib.sha256(str(number % DRAWN).encode()).hexdigest()[:16]


def shape(number: int) -> tuple[int, int]:
    return random.Random(number % DRAWN).choices(SIZES, (40, 20, 20, 15, 1, 4))[0]


def columns(count: int, rng: random.Random, prompts: list[str]) -> dict[str, Any]:
    tiles: dict[str, Any] = {
        name: []
        for name in (
            "key",
            "job",
            "ordinal",
            "state",
            "provider",
            "model",
            "kind",
            "cause",
            "prompt",
            "tags",
            "usd",
            "credits",
            "bytes",
            "width",
            "height",
            "mime",
            "at",
            "seconds",
            "sha",
            "path",
            "alpha",
            "no_thumb",
            "c2pa",
            "gone",
        )
    }
    tiles.update(count=count, sources={}, mask={}, suspects={}, earlier={}, marks={})
    numbers: dict[str, int] = {}
    job, row = 0, 0
    while row < count:
        size = min(4 if job % 17 == 3 else 1, count - row)
        for ordinal in range(size):
            tile(tiles, rng, job, row + ordinal, ordinal, (prompts, numbers))
        row += size
        job += 1
    return tiles


def tile(tiles: dict[str, Any], rng: random.Random, job: int, row: int, ordinal: int, prompts: tuple) -> None:
    """Add the columns of one row; pictures of one job share its columns."""
    dice = random.Random(job)  # of the job
    state = 0 if ordinal or job % 17 == 3 else dice.choices((0, 1, 2, 3), (93, 4, 1, 2))[0]
    done = state == 0
    width, height = shape(job * 5 + ordinal)
    subject, style = dice.choice(SUBJECTS), dice.choice(STYLES)
    text = (
        HOSTILE[job // 7 % len(HOSTILE)]
        if job % 7 == 5 and job < 400
        else f"{style} of a {subject} {dice.choice(PLACES)}"
    )
    if job % 3:
        text += f", number {job}, soft light, muted colours, plain background, no text, no people, generous margins"
    if job == 8:
        text = "A very long prompt. " * 300
    known, numbers = prompts
    provider = dice.randrange(len(PROVIDERS))
    tags = [tag for tag in range(len(TAGS)) if dice.random() < 0.2]
    values: dict[str, Any] = {
        "key": f"{subject}s/{style.replace(' ', '-')}-{job}",
        "job": job,
        "ordinal": ordinal if done else -1,
        "state": state,
        "provider": provider,
        "model": dice.randrange(len(MODELS)),
        "kind": int(job % 4 == 1),
        "cause": -1 if done or state == 3 else (6 if state == 2 else dice.randrange(6)),
        "prompt": numbers.setdefault(text, len(known)),
        "tags": tags or 0,
        "usd": (None if provider == 4 else round(dice.uniform(0.004, 0.08), 4)) if done else 0,
        "credits": 2.5 if provider == 4 and done else None,
        "bytes": dice.randrange(40_000, 3_000_000) if done else 0,
        "width": width if done else 0,
        "height": height if done else 0,
        "mime": dice.randrange(3) if done else -1,
        "at": START + job * 3 if state != 3 else 0,
        "seconds": round(dice.uniform(4, 40), 1),
        "sha": sha(job * 5 + ordinal) if done else "",
    }
    if len(known) < len(numbers):
        known.append(text)
    values["path"] = f"output/sample/{values['key']}-{ordinal + 1}.webp" if done else ""
    for name, value in values.items():
        tiles[name].append(value)
    if done:
        extras(tiles, rng, row, values)


def extras(tiles: dict[str, Any], rng: random.Random, row: int, values: dict[str, Any]) -> None:
    job = values["job"]
    if job * 5 % DRAWN % 6 == 4:
        tiles["alpha"].append(row)
    if rng.random() < 0.7:
        tiles["c2pa"].append(row)
    if values["kind"]:
        tiles["sources"][row] = [job % 8] if job % 5 else [job % 8, (job + 3) % 8]
        if job % 6 == 1:
            tiles["mask"][row] = 7
    if rng.random() < 0.04:
        kind = rng.randrange(len(KINDS))
        tiles["suspects"][row] = [[kind, max(0, row - 5) if kind in (4, 5) else -1, "found by the sample"]]
    if rng.random() < 0.02:
        tiles["earlier"][row] = [
            {
                "sha": sha(job + 1),
                "path": f"output/sample/.superseded/{job}.webp",
                "width": values["width"],
                "height": values["height"],
                "at": values["at"] - 4000,
            }
        ]
    if rng.random() < 0.01:
        tiles["marks"][row] = {
            "mark": rng.choice(["pick", "reject", None]),
            "stars": rng.randrange(1, 6),
            "note": "",
            "at": "2026-11-29T05:00:00Z",
            "sha": values["sha"],
        }


def detail(page: dict[str, Any], row: int) -> dict[str, Any]:
    """The Detail of the job whose first tile is `row`."""
    tiles, words = page["tiles"], page["words"]
    done = tiles["ordinal"][row] >= 0
    cause = None if tiles["cause"][row] < 0 else words["cause"][tiles["cause"][row]]
    attempts = (
        []
        if tiles["state"][row] == 3
        else [
            {
                "id": f"a{row}",
                "run": "r1",
                "provider": words["provider"][tiles["provider"][row]],
                "model": words["model"][tiles["model"][row]],
                "account": None,
                "at": stamp(tiles["at"][row]),
                "seconds": tiles["seconds"][row],
                "state": "delivered" if done else "failed",
                "cause": cause,
                "message": None if done else HOSTILE[row % len(HOSTILE)],
                "status": 200 if done else 400,
                "request_id": "req_1",
                "usd": str(tiles["usd"][row] or 0),
                "credits": None,
                "basis": "reported",
                "charged": None if done else "maybe",
            }
        ]
        * (20 if row == 8 else 1)
    )
    files = (
        [
            {
                "ordinal": tiles["ordinal"][row],
                "path": tiles["path"][row],
                "sha256": tiles["sha"][row] * 4,
                "bytes": tiles["bytes"][row],
                "width": tiles["width"][row],
                "height": tiles["height"][row],
                "mime": words["mime"][tiles["mime"][row]],
                "sidecar": f"{tiles['path'][row]}.json",
                "at": stamp(tiles["at"][row]),
            }
        ]
        if done
        else []
    )
    return {
        "parameters": {"size": "1024x1024", "quality": "medium", "n": 1},
        "attempts": attempts,
        "files": files,
        "copies": [],
        "message": attempts[-1]["message"] if attempts else None,
        "note": None,
        "yaml": f"- {{id: {tiles['key'][row]}, size: 1024x1024}}\n",
    }
