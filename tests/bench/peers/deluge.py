"""lm-deluge on the chat API: URL, number of jobs and calls in flight as arguments."""

import asyncio
import base64
import os
import sys
from pathlib import Path

os.environ["BENCH_KEY"] = "bench"

from lm_deluge import LLMClient
from lm_deluge.models import register_model


async def main(url: str, count: int, width: int) -> None:
    """Send *count* prompts, *width* at a time, and write each image."""
    register_model(
        id="bench", name="bench", api_base=f"{url}/v1", api_key_env_var="BENCH_KEY", api_spec="openai"
    )  # fmt: skip
    client = LLMClient(
        "bench", max_requests_per_minute=10**9, max_tokens_per_minute=10**12, max_concurrent_requests=width,
        progress="manual",
    )  # fmt: skip
    answers = await client.process_prompts_async([f"a photo of item {number}" for number in range(count)])
    for number, answer in enumerate(answers):
        Path(f"{number}.png").write_bytes(base64.b64decode(answer.completion))  # noqa: ASYNC240


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
