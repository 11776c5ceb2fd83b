"""Bespoke Labs' curator on the chat API: URL, number of jobs and calls in flight as arguments."""

import base64
import os
import sys
from importlib.util import find_spec
from pathlib import Path

# The tokenizer that curator would download lies in litellm, which it installs.
LITELLM = Path(str(find_spec("litellm").origin)).parent
os.environ["TIKTOKEN_CACHE_DIR"] = str(LITELLM / "litellm_core_utils/tokenizers")

from bespokelabs import curator  # noqa: E402


def main(url: str, count: int, width: int) -> None:
    """Send *count* prompts, *width* at a time, and write each image; answers are kept in curator's cache."""
    limits = {"max_requests_per_minute": 10**9, "max_tokens_per_minute": 10**12, "max_concurrent_requests": width}
    llm = curator.LLM(
        model_name="gpt-4o-mini",
        backend="openai",
        backend_params={"base_url": f"{url}/v1", "api_key": "bench", **limits},
    )
    answers = llm([f"a photo of item {number}" for number in range(count)])
    answers = getattr(answers, "dataset", answers)
    for number, answer in enumerate(answers):
        Path(f"{number}.png").write_bytes(base64.b64decode(answer["response"]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
