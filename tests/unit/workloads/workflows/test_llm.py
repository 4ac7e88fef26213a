"""Time limits of requests to models, and what a definition's URL shows of its host."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from tests.model_server import model_server
from tests.unit.workloads.workflows.definitions import node
from workloads.model_endpoints.endpoints import MODEL_LIMITS
from workloads.model_endpoints.tenant_settings import PLATFORM_TOKENS
from workloads.workflows.definition.graph import Node
from workloads.workflows.definition.tenant_checks import constant_origin
from workloads.workflows.nodes import llm
from workloads.workflows.nodes.work import NodeContext, NodeOutput


def test_silent_model_may_take_the_whole_timeout_of_its_node(
    change_platform_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[Any] = []
    monkeypatch.setattr(llm, "chat", _remembering(llm.chat, limits))
    monkeypatch.setattr("workloads.model_endpoints.limits.settings_of", lambda tenant: {PLATFORM_TOKENS.key: 0})
    definition = node("ask", "llm", prompt="?", endpoint="platform", timeout_seconds=300)
    with model_server() as server:
        change_platform_settings(LLM_API_URL=server.url, LLM_MODEL="stub")
        reading = Mock(render=lambda text: text)
        place = NodeContext(Mock(), Node.read(definition, None), reading, {}, Mock())
        later = llm.prepare(place).later
        assert later is not None
        output = asyncio.run(_await(later))
    assert isinstance(output, NodeOutput)
    assert output.outputs["endpoint"] == "platform"
    assert [(one.read_seconds, one.total_seconds) for one in limits] == [(300, 300)]
    assert limits[0].read_seconds > MODEL_LIMITS.total_seconds
    assert [(one.model.model, one.prompt_tokens, one.completion_tokens) for one in place.usage] == [("stub", 1, 3)]


async def _await(later: Any) -> Any:
    return await later()


def _remembering(chat: Any, limits: list[Any]) -> Any:
    def remember(*args: Any, **kwargs: Any) -> Any:
        limits.append(kwargs["limits"])
        return chat(*args, **kwargs)

    return remember


@pytest.mark.parametrize(
    ("template", "origin"),
    [
        ("https://api.example.com/x", "https://api.example.com/x"),
        ("https://api.example.com", "https://api.example.com"),
        (" http://10.0.0.1/{{ inputs.a }}", "http://10.0.0.1/"),
        ("{{ inputs.url }}", ""),
        ("https://{{ inputs.host }}/x", ""),
        ("https://api.{{ inputs.host }}", ""),
        ("http://127.0.0.1:{{ inputs.port }}/", ""),
    ],
)
def test_host_of_a_template_is_known_only_if_it_is_written_out(template: str, origin: str) -> None:
    assert constant_origin(template) == origin
