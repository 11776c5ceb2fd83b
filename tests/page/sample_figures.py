"""Figures of the sample page: head, night, costs and what needs attention, from its columns."""

from __future__ import annotations

import datetime as dt
from typing import Any

START = 1_795_903_200  # 28 November 2026, 23:00 in a zone one hour east of UTC


def first_rows(tiles: dict[str, Any]) -> list[int]:
    return [row for row in range(tiles["count"]) if row == 0 or tiles["job"][row] != tiles["job"][row - 1]]


def stamp(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def head(tiles: dict[str, Any]) -> dict[str, Any]:
    states = [tiles["state"][row] for row in first_rows(tiles)]
    jobs = {name: states.count(code) for code, name in enumerate(("done", "failed", "unknown", "pending"))}
    images = sum(1 for ordinal in tiles["ordinal"] if ordinal >= 0)
    usd = sum(value or 0 for value in tiles["usd"])
    last = max(tiles["at"]) + 60
    return {
        "run": {
            "id": "r2",
            "number": 2,
            "of": 2,
            "started_at": stamp(START),
            "ended_at": stamp(last),
            "exit_code": 3,
            "meaning": "some jobs failed",
        },
        "jobs": {"total": len(states), "running": 0, "cancelled": 0, "at_provider": 0, **jobs},
        "images": images,
        "attempts": len(states) + 12,
        "usd": f"{usd:.4f}",
        "unpriced": 3,
        "in_progress": False,
        "credits": {"gptimageapi": "420"},
        "at_risk_usd": "0.0336",
        "lost_usd": "0.0178",
        "reserved_usd": None,
        "budgets": [{"name": "run", "usd": f"{usd * 1.5:.2f}", "spent_usd": f"{usd:.4f}", "unit": "USD"}],
        "seconds": last - START,
        "images_per_hour": images / max(1, (last - START) / 3600),
        "usd_per_image": f"{usd / max(1, images):.4f}",
        "waits": ["4 jobs wait: gptimageapi is out of money"],
    }


def night(tiles: dict[str, Any], words: dict[str, Any]) -> dict[str, Any]:
    last = max(tiles["at"]) + 60
    step = max(60, (last - START) // 48 // 60 * 60)
    bars = [0] * ((last - START) // step + 1)
    lanes = [{"name": name, "ticks": [], "spans": []} for name in words["provider"]]
    for at, ordinal, provider in zip(tiles["at"], tiles["ordinal"], tiles["provider"], strict=True):
        if ordinal >= 0:
            bars[(at - START) // step] += 1
            if len(lanes[provider]["ticks"]) < 400:
                lanes[provider]["ticks"].append(at - START)
    third = (last - START) // 3
    for lane, kind in zip(lanes, ("throttled", "outage", "closed", "paused"), strict=False):
        lane["spans"].append(
            {"kind": kind, "from": third, "to": third + third // 4, "message": f"{kind} by the sample"}
        )
    return {
        "from": stamp(START),
        "to": stamp(last),
        "step": step,
        "bars": bars,
        "usd": [None for _ in bars],
        "lanes": lanes,
        "gaps": [],
    }


def costs(tiles: dict[str, Any], words: dict[str, Any]) -> dict[str, Any]:
    def bars(column: str) -> list[dict[str, Any]]:
        sums = {name: {"name": name, "usd": 0.0, "credits": None, "images": 0, "attempts": 0} for name in words[column]}
        for row in range(tiles["count"]):
            codes = tiles["tags"][row] or [] if column == "tag" else [tiles[column][row]]
            for code in codes:
                bar = sums[words[column][code]]
                bar["usd"] += tiles["usd"][row] or 0
                bar["images"] += tiles["ordinal"][row] >= 0
                bar["attempts"] += 1
        return sorted(sums.values(), key=lambda bar: -bar["usd"])

    day = {
        "name": "2026-11-28",
        "usd": sum(usd or 0 for usd in tiles["usd"]),
        "credits": None,
        "images": tiles["count"],
        "attempts": tiles["count"],
    }
    mode = day | {"name": "standard"}
    return {**{name: bars(name) for name in ("provider", "model", "tag", "kind")}, "day": [day], "mode": [mode]}


def needs(tiles: dict[str, Any], words: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for code, cause in enumerate(words["cause"]):
        rows = [row for row in range(tiles["count"]) if tiles["cause"][row] == code]
        if rows:
            prompts = [{"id": tiles["key"][row], "prompt": words["prompt"][tiles["prompt"][row]]} for row in rows]
            found.append(
                {
                    "state": "unknown" if cause == "unknown" else "failed",
                    "cause": cause,
                    "title": cause.capitalize(),
                    "count": len(rows),
                    "meaning": f"What {cause} means.",
                    "todo": "What to do about it.",
                    "example": f"<b>{cause}</b> </script> in the provider's own words",
                    "usd": "0.0178",
                    "at_risk_usd": None,
                    "reserved_usd": None,
                    "ids": [tiles["key"][row] for row in rows[:200]],
                    "command": f"batchgen retry jobs/sample.yaml --sandbox --cause {cause}",
                    "prompts": prompts if cause == "refused" else [],
                    "edit_command": "batchgen redo jobs/sample.yaml --prompts refused.csv"
                    if cause == "refused"
                    else None,
                }
            )
    return found
