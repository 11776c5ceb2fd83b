"""Real batches for the page: run on simulated providers, as a user runs them."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw

from batchgen.sandbox import launch
from tests.acceptance.kit import CANARY, Workspace

HERE = Path(__file__).parent
JOBS: list[dict[str, Any]] = yaml.safe_load((HERE / "night.yaml").read_text(encoding="utf-8"))


def photo(path: Path, size: tuple[int, int] = (960, 720), colour: str = "#3f7fbf") -> None:
    """Draw a photo of a mug on a table."""
    picture = Image.new("RGB", size, "#d8d2c4")
    draw = ImageDraw.Draw(picture)
    width, height = size
    draw.rectangle((0, height * 0.66, width, height), fill="#b59b78")
    draw.ellipse((width * 0.55, height * 0.38, width * 0.74, height * 0.66), outline=colour, width=width // 40)
    draw.rounded_rectangle((width * 0.3, height * 0.3, width * 0.62, height * 0.78), width // 24, fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=92)


def mask(path: Path, size: tuple[int, int] = (960, 720)) -> None:
    """Draw a mask whose upper third may be changed."""
    picture = Image.new("RGBA", size, (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, size[0], size[1] // 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def night(project: Workspace) -> Workspace:
    """Run the night in the folder of *project*."""
    photo(project.folder / "photos" / "mug.jpg")
    photo(project.folder / "photos" / "red.jpg", colour="#b5402f")
    mask(project.folder / "photos" / "top.png")
    tariff = {"gateway": {"tariff": {"usd_per_image": 0.05}}}
    project.manifest(JOBS, name="night.yaml", providers=tariff, on_unknown="hold")
    done = project.run("run", "night.yaml", "--yes", "--budget", 5, "--allow-unpriced", seconds=90)
    assert done.code in (3, 5, 7), done.err
    return project


def report(project: Workspace, *arguments: object) -> Path:
    """Write the report; return the page."""
    done = project.run("report", *arguments, "--json", seconds=90)
    assert done.code == 0, done.err
    return Path(project.folder, json.loads(done.out)["page"])


#: Texts that a careless page would run, hide, turn round or hand to a spreadsheet.
HOSTILE = [json.loads(line)["text"] for line in (HERE / "hostile.jsonl").read_text(encoding="utf-8").splitlines()]
HOSTILE.append("long " + "word " * 6_000)


def hostile(project: Workspace) -> Workspace:
    """Run a batch whose prompts are hostile; they come from a list, where they are no templates."""
    rows = ({"id": f"h{index:02}", "text": text} for index, text in enumerate(HOSTILE))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (project.folder / "texts.jsonl").write_text(lines, encoding="utf-8")
    job = {"id": "{{ id }}", "provider": "openai", "quality": "low", "prompt": "{{ text }}", "from": "texts.jsonl"}
    project.manifest([job], name="hostile.yaml")
    done = project.run("run", "hostile.yaml", "--yes", seconds=90)
    assert done.code == 0, done.err
    return project


def shop(project: Workspace) -> Workspace:
    """Run a small batch that each test may change: two cats and more, one refused."""
    photo(project.folder / "photos" / "mug.jpg")
    jobs = [
        {"id": "cat", "provider": "openai", "quality": "low", "n": 2, "prompt": "A cat on a sofa"},
        {"id": "owl", "provider": "aigate", "quality": "low", "prompt": "An owl on a fence post"},
        {"id": "banner", "provider": "openai", "quality": "low", "size": "1536x1024", "prompt": "Dunes at sunrise"},
        {"id": "leaf", "provider": "openai", "quality": "low", "background": "transparent", "prompt": "A maple leaf"},
        {"id": "wolf", "provider": "openai", "quality": "low", "prompt": "A wolf [sandbox: refuse]"},
        {"id": "mug", "provider": "openai", "images": ["photos/mug.jpg"], "prompt": "The same mug in autumn light"},
    ]
    project.manifest(jobs, name="shop.yaml")
    done = project.run("run", "shop.yaml", "--yes", seconds=90)
    assert done.code == 3, done.err
    return project


#: Polls of remote tasks; a run waits for half a second.
TASKS = {"state": "status", "first_wait": 0.1, "max_wait": 0.2, "patience": 0.5, "lost_after": 0.3}


def modes(project: Workspace) -> Workspace:
    """Run a batch in all modes, beside remote tasks; the batch and two tasks are left at their providers.

    ``steer`` releases the batch.
    """
    steer(project, hold=True)
    project.env |= {"GEMINI_API_KEY": CANARY, "FAL_KEY": CANARY}
    low = {"provider": "openai", "quality": "low", "size": "1024x1024"}
    flex, task = {"provider": "gemini", "model": "gemini-3-pro-image"}, {"provider": "fal"}
    jobs: list[dict[str, Any]] = [
        *({"id": f"night-{number}", **low, "prompt": f"A cat by night, number {number}"} for number in range(4)),
        *({"id": f"day-{name}", **flex, "prompt": f"A dog, {name}"} for name in "ab"),
        {"id": "dear", **flex, "prompt": "A fox [sandbox: flex-standard]"},
        {"id": "plain", "provider": "aigate", "quality": "low", "prompt": "An owl on a fence post"},
        *({"id": f"task-{name}", **task, "prompt": f"A boat {name} [sandbox: task-slow=600]"} for name in "xy"),
        {"id": "wolf", "provider": "aigate", "quality": "low", "prompt": "A wolf [sandbox: refuse]"},
    ]
    providers: dict[str, Any] = {
        "openai": {"modes": ["batch"], "batch": {"listing_grace": 0.5}},
        "gemini": {"base_url": f"{project.url}/gemini", "modes": ["flex"]},
        "fal": {"base_url": f"{project.url}/fal", "task": {"poll": TASKS}},
    }
    project.manifest(jobs, name="modes.yaml", providers=providers, budget={"usd": 5})
    done = project.run("run", "modes.yaml", "--yes", "--no-wait", seconds=90)
    assert done.code == 9, done.err
    return project


def steer(project: Workspace, **order: object) -> None:
    """Hold or release the batches of the simulated providers."""
    request = urllib.request.Request(f"{project.url}/_sandbox/batches", json.dumps(order).encode())
    urllib.request.urlopen(request).close()


def stop_sandbox(project: Workspace) -> None:
    """Stop the simulated providers that ``--sandbox`` started."""
    if running := launch.find(project.state / "sandbox"):
        running.stop()
