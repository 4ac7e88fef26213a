"""Test of a model by one small request, whose answer and tokens are shown and counted."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from typing import Final

from scheduling.kit.base import PermanentError, TransientError
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from workloads.model_endpoints.chat import Chat, chat
from workloads.model_endpoints.embeddings import embed
from workloads.model_endpoints.endpoints import MODEL_LIMITS, ModelConfiguration
from workloads.model_endpoints.exceptions import ModelTestFailedError
from workloads.model_endpoints.lookup import configure
from workloads.model_endpoints.models import ModelEndpoint, ModelUse
from workloads.model_endpoints.usage import AnsweredRequest, record_usage

# A test runs within a request of the console or the API.
MAX_SECONDS: Final = 20.0
_QUESTION: Final = "Answer with the word OK."
_MAX_TEXT: Final = 300


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What a model has answered to the test: a short text, the time that it took, and its tokens."""

    model: str
    text: str
    seconds: float
    prompt_tokens: int
    completion_tokens: int


def probe_endpoint(*, endpoint: ModelEndpoint, model: str = "") -> ProbeAnswer:
    """Send one small request to a model of the endpoint, and return the answer: by default to its default or first.

    Raise `ModelTestFailedError` with the provider's message, in which secrets are masked.
    """
    rows = [row for row in endpoint.models.all() if not model or row.name == model]
    if not rows:
        raise ModelTestFailedError("The endpoint lists no such model: add it first.")
    row = max(rows, key=lambda one: (one.is_default, one.use == ModelUse.CHAT))
    begun_at = time.monotonic()
    try:
        text, prompt, completion = _ask(configure(row), row.use)
    except (PermanentError, TransientError) as error:
        raise ModelTestFailedError("%(model)s: %(error)s", {"model": row.name, "error": str(error)}) from error
    seconds = time.monotonic() - begun_at
    with tenant_context(endpoint.tenant):
        record_usage(endpoint.tenant_id, [AnsweredRequest(configure(row), prompt, completion)])
        record_audit(action="model_endpoint.tested", target=endpoint, after={"model": row.name})
    return ProbeAnswer(row.name, text, round(seconds, 3), prompt, completion)


def _ask(model: ModelConfiguration, use: str) -> tuple[str, int, int]:
    """Return a model's answer to the test, and its input and output tokens."""
    own = model.limits or MODEL_LIMITS
    limits = replace(own, total_seconds=min(own.total_seconds, MAX_SECONDS))
    if use == ModelUse.EMBEDDING:
        (vector,), tokens = embed(model, [_QUESTION], limits=limits)
        return json.dumps(vector)[:_MAX_TEXT], tokens, 0
    messages = [{"role": "user", "content": _QUESTION}]
    # Without options, some of which each provider refuses for some of its models.
    answer = asyncio.run(chat(model, Chat(messages, model.model, is_streamed=False), limits=limits))
    return answer.text[:_MAX_TEXT], answer.prompt_tokens, answer.completion_tokens
