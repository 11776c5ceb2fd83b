"""OpenAI's images at Azure: key in ``api-key``, version in the query, deployments in place of models, no WebP.

Written from Microsoft Learn (foundry/openai/how-to/dall-e, its part on edits, and the reference of errors).
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..checks import STANDARD_SIZES, Rules, listed_size, openai_size, read_order
from ..keys import KeyHeader
from ..prices import GPT_RATES, openai_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace, invalid
from .dialect import Account, Dialect, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers
from .openai import COMMON

#: The deployment of any other name is one of this model.
MODEL = "gpt-image-2"
VERSION = re.compile(r"(?:preview|latest|v1|202[5-9]-\d\d-\d\d(?:-preview)?)?")
QUALITIES = ("low", "medium", "high")

GENERATION = Rules(models=frozenset(GPT_RATES), fields=COMMON | {"user"}, size=openai_size, qualities=QUALITIES)
EDIT = replace(GENERATION, fields=GENERATION.fields | {"input_fidelity"}, json_edit=False)
_DEPLOYMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}")

_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(400, "", "contentFilter", "Your task failed as a result of our safety system."),
    "throttle": ErrorText(
        429, "", "429", "Requests to this deployment have exceeded its rate limit. Please retry after {wait}."
    ),
    "denied": ErrorText(
        401,
        "",
        "401",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an"
        " active subscription and use a correct regional API endpoint for your resource.",
    ),
    "model": ErrorText(
        404,
        "",
        "DeploymentNotFound",
        "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes,"
        " please wait a moment and try again.",
    ),
    "path": ErrorText(404, "", "404", "Resource not found"),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a generation (JSON) or an edit (files); the model, or a part of the path, is the name of a deployment."""
    if not VERSION.fullmatch(form.query.get("api-version", "")):
        raise Refusal("path")
    deployment = form.path.get("deployment", form.fields.get("model"))
    if not isinstance(deployment, str) or not _DEPLOYMENT.fullmatch(deployment) or deployment.startswith("missing"):
        raise Refusal("model")
    model = deployment if deployment in GPT_RATES else MODEL
    rules = GENERATION if kind == "generation" else EDIT
    if "gpt-image-2" not in model:
        rules = replace(rules, size=_three_sizes)
    order = read_order(replace(form, fields={**form.fields, "model": model}), kind, rules, fetch)
    if order.output_format == "webp":
        raise invalid(
            "Invalid value: 'webp'. Supported values are: 'png' and 'jpeg'.", "invalid_value", "output_format"
        )
    if "input_fidelity" in form.fields and model.startswith(("gpt-image-2", "gpt-image-1-mini")):
        raise invalid("The 'input_fidelity' parameter is not supported for this model.", None, "input_fidelity")
    return order if form.fields.get("quality") else replace(order, quality="high")


def _three_sizes(model: str, size: str) -> tuple[int, int]:
    return listed_size(STANDARD_SIZES, "1024x1024")(model, "" if size == "auto" else size)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:  # noqa: ARG001
    """Answer with base64 and the usage."""
    data: list[Json] = [{"url": picture.url} if picture.url else {"b64_json": picture.b64} for picture in pictures]
    payload: Json = {"created": int(trace.now), "data": data, "usage": bill.usage}
    return Reply(status=200, payload=payload, headers={"apim-request-id": trace.request_id})


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with Azure's error envelope."""
    text = error_for(_ERRORS, refusal, trace)
    error: Json = {"code": text.code, "message": text.message}
    if refusal.param:
        error |= {"param": refusal.param, "type": text.type}
    payload: Json = {"error": error}
    if refusal.cause == "refuse":
        payload = {"created": int(trace.now), **payload}
    return Reply(status=text.status, payload=payload, headers=retry_headers(trace))


def model_list(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """List the base models; deployments are not among them."""
    data = [{"id": name, "object": "model", "status": "succeeded"} for name in (*sorted(GPT_RATES), "gpt-5.5")]
    return Reply(status=200, payload={"object": "list", "data": data})


DIALECT = Dialect(
    name="azure",
    routes={
        "/openai/v1/images/generations": "generation",
        "/openai/v1/images/edits": "edit",
        "/openai/deployments/{deployment}/images/generations": "generation",
        "/openai/deployments/{deployment}/images/edits": "edit",
    },
    read=read,
    price=openai_bill,
    answer=answer,
    refuse=refuse,
    free_endpoints={"/openai/v1/models": FreeEndpoint(answer=model_list)},
    key_header=KeyHeader("api-key", ""),
)
