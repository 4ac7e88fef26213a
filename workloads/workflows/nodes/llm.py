"""Nodes of type `llm`: they send a chat to a model by OpenAI's API and count the tokens.

The endpoint is the tenant's own or the platform's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from scheduling.kit.base import PermanentError
from scheduling.kit.http import open_header
from workloads.model_endpoints.chat import CHAT_LIMITS, Chat, chat
from workloads.model_endpoints.endpoints import chat_endpoint
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode
from workloads.workflows.tenant_settings import LLM_KEY, LLM_MODEL, LLM_URL

_OPTIONS = ("temperature", "max_tokens")


def prepare(place: NodeContext) -> PreparedNode:
    """Render the messages now, and return the work that sends them and streams the answer on the event loop."""
    settings, config = place.job.settings, place.config
    url = settings[LLM_URL.key]
    key = open_header(place.job.tenant_id, url, settings[LLM_KEY.key]) if url else ""
    endpoint = chat_endpoint(url=url, key=key, model=settings[LLM_MODEL.key])
    model = config.get("model") or endpoint.model
    if not model:
        raise PermanentError("Neither the node nor a setting names a model.", code="no_model")
    messages = _messages(place)
    options = {name: config[name] for name in _OPTIONS if name in config}
    seconds = place.node.timeout_seconds
    limits = replace(CHAT_LIMITS, read_seconds=min(CHAT_LIMITS.read_seconds, seconds), total_seconds=seconds)

    stream = partial(place.job.stream, str(place.key))

    async def ask() -> NodeOutput:
        # An attempt that failed may have streamed a part.
        stream("", restart=True)
        answer = await chat(endpoint, Chat(messages, model, options), limits=limits, on_text=stream)
        return NodeOutput(
            {
                "text": answer.text,
                "model": answer.model,
                "finish_reason": answer.finish_reason,
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
            },
            tokens=answer.total_tokens,
        )

    shown: dict[str, Any] = {"model": model, "messages": messages, **options}
    return PreparedNode(
        inputs=shown, later=ask, dependency=endpoint.dependency, usual_seconds=CHAT_LIMITS.total_seconds
    )


def _messages(place: NodeContext) -> list[dict[str, str]]:
    render, config = place.reading.render, place.config
    messages = [{"role": "system", "content": render(config["system"])}] if "system" in config else []
    if "prompt" in config:
        return [*messages, {"role": "user", "content": render(config["prompt"])}]
    return messages + [
        {"role": message["role"], "content": render(message["content"])} for message in config["messages"]
    ]
