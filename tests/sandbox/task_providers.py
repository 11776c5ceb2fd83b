"""What a client of each task provider sends and reads, by the documents of the provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """The calls of one provider."""

    name: str
    path: str
    body: Callable[[str], Facts]
    headers: dict[str, str]
    poll: Callable[[Facts], str]  #: the address, from the answer to a submission
    task: Callable[[Facts], str]  #: the id
    state: Callable[[Facts], str]
    images: Callable[[Facts], list[str]]
    done: str
    failed: str
    refused: str
    usd: str
    cancel: tuple[str, Callable[[Facts], str]] | None = None
    also: dict[str, str] = field(default_factory=dict)  #: headers of submissions


BEARER = {"Authorization": "Bearer sk-test-1234"}
PROVIDERS = (
    Provider(
        name="replicate",
        path="/v1/models/google/nano-banana-2/predictions",
        body=lambda prompt: {"input": {"prompt": prompt, "aspect_ratio": "16:9", "output_format": "png"}},
        headers=BEARER,
        poll=lambda facts: facts["urls"]["get"],
        task=lambda facts: facts["id"],
        state=lambda facts: facts["status"],
        images=lambda facts: [facts["output"]],
        done="succeeded",
        failed="failed",
        refused="failed",
        usd="0.067",
        cancel=("POST", lambda facts: facts["urls"]["cancel"]),
    ),
    Provider(
        name="bfl",
        path="/v1/flux-2-pro",
        body=lambda prompt: {"prompt": prompt, "width": 1024, "height": 1024, "output_format": "png"},
        headers={"x-key": "sk-test-1234"},
        poll=lambda facts: facts["polling_url"],
        task=lambda facts: facts["id"],
        state=lambda facts: facts["status"],
        images=lambda facts: [facts["result"]["sample"]],
        done="Ready",
        failed="Error",
        refused="Content Moderated",
        usd="0.03",
    ),
    Provider(
        name="kie",
        path="/api/v1/jobs/createTask",
        body=lambda prompt: {"model": "nano-banana-2", "input": {"prompt": prompt, "resolution": "2K"}},
        headers=BEARER,
        poll=lambda facts: f"/api/v1/jobs/recordInfo?taskId={facts['data']['taskId']}",
        task=lambda facts: facts["data"]["taskId"],
        state=lambda facts: facts["data"]["state"],
        images=lambda facts: json.loads(facts["data"]["resultJson"])["resultUrls"],
        done="success",
        failed="fail",
        refused="fail",
        usd="0.06",
    ),
    Provider(
        name="higgsfield",
        path="/higgsfield-ai/soul/v2/standard",
        body=lambda prompt: {"prompt": prompt, "aspect_ratio": "3:4"},
        headers={"Authorization": "Key id-of-key:sk-test-1234"},
        poll=lambda facts: facts["status_url"],
        task=lambda facts: facts["request_id"],
        state=lambda facts: facts["status"],
        images=lambda facts: [item["url"] for item in facts["images"]],
        done="completed",
        failed="failed",
        refused="nsfw",
        usd="0.0625",
        cancel=("POST", lambda facts: facts["cancel_url"]),
    ),
    Provider(
        name="wavespeed",
        path="/api/v3/google/nano-banana-2/text-to-image",
        body=lambda prompt: {"prompt": prompt, "aspect_ratio": "1:1", "resolution": "4k", "output_format": "png"},
        headers=BEARER,
        poll=lambda facts: facts["data"]["urls"]["get"],
        task=lambda facts: facts["data"]["id"],
        state=lambda facts: facts["data"]["status"],
        images=lambda facts: facts["data"]["outputs"],
        done="completed",
        failed="failed",
        refused="failed",
        usd="0.14",
    ),
    Provider(
        name="dashscope",
        path="/api/v1/services/aigc/text2image/image-synthesis",
        body=lambda prompt: {
            "model": "wan2.2-t2i-flash",
            "input": {"prompt": prompt},
            "parameters": {"size": "1024*1024"},
        },
        headers=BEARER,
        poll=lambda facts: f"/api/v1/tasks/{facts['output']['task_id']}",
        task=lambda facts: facts["output"]["task_id"],
        state=lambda facts: facts["output"]["task_status"],
        images=lambda facts: [item["url"] for item in facts["output"]["results"]],
        done="SUCCEEDED",
        failed="FAILED",
        refused="FAILED",
        usd="0.025",
        cancel=("POST", lambda facts: f"/api/v1/tasks/{facts['output']['task_id']}/cancel"),
        also={"X-DashScope-Async": "enable"},
    ),
)
