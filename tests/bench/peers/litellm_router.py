"""litellm's Router on the images API: URL, number of jobs and calls in flight as arguments."""

import asyncio
import base64
import sys
from pathlib import Path

import litellm  # type: ignore[import-not-found]


async def main(url: str, count: int, width: int) -> None:
    """Order *count* images, *width* at a time, and write each."""
    parameters = {"model": "openai/gpt-image-1", "api_base": f"{url}/v1", "api_key": "bench", "max_retries": 0}
    router = litellm.Router(model_list=[{"model_name": "images", "litellm_params": parameters}])
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            answer = await router.aimage_generation(model="images", prompt=f"a photo of item {number}")
            Path(f"{number}.png").write_bytes(base64.b64decode(answer.data[0].b64_json))  # noqa: ASYNC240

    await asyncio.gather(*(worker() for _ in range(width)))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
