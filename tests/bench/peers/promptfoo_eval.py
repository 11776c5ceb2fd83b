"""promptfoo on the images API: its program, URL, number of jobs and calls in flight as arguments."""

import json
import subprocess
import sys
from pathlib import Path


def main(program: str, url: str, count: str, width: str) -> int:
    """Evaluate one prompt with as many values as there are jobs."""
    provider = {"id": "openai:image:gpt-image-1", "config": {"apiBaseUrl": f"{url}/v1", "apiKey": "bench"}}
    config = {
        "prompts": ["a photo of item {{number}}"],
        "providers": [provider],
        "tests": [{"vars": {"number": number}} for number in range(int(count))],
    }
    Path("promptfooconfig.json").write_text(json.dumps(config), encoding="utf-8")
    words = ("eval", "-c", "promptfooconfig.json", "--no-cache", "--no-progress-bar", "--no-table", "-j", width)
    code = subprocess.call([program, *words, "-o", "results.json"])
    done = json.loads(Path("results.json").read_text(encoding="utf-8"))["results"]["stats"]
    return code or int(done["successes"] != int(count))


sys.exit(main(*sys.argv[1:]))
