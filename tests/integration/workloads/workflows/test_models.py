"""Runs with nodes of type `llm`: fall-back endpoints, answers that must match a schema, tools, and options."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scheduling.models import Circuit
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.settings.service import change_settings
from tests.integration.workloads.workflows.conftest import Runs, nodes_of, run_of
from tests.model_server import ModelServer, model_server
from tests.unit.workloads.workflows.definitions import node, workflow
from workloads.workflows.exceptions import WorkflowDefinitionError

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
ONCE = {"max_retries": 0}


@pytest.fixture
def backup(model: ModelServer, acme: Tenant, change_platform_settings: Any) -> Iterator[ModelServer]:
    """Return a second endpoint, the fall-back `backup` of acme."""
    with model_server() as server:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[model.host, server.host])
        declared = {"name": "backup", "url": server.url, "model": "spare"}
        change_settings(tenant=acme, values={"workflow_execution.llm_fallbacks": [declared]})
        yield server


def ask(**fields: Any) -> dict[str, Any]:
    return node("ask", "llm", **{"prompt": "?", "model": "first", **fields})


@pytest.mark.parametrize("status", [429, 500, 503, 401])
def test_next_endpoint_answers_if_the_first_is_down(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer, status: int
) -> None:
    model.fail_next(status)
    outputs = {name: {"ref": f"nodes.ask.{name}"} for name in ("endpoint", "model", "text")}
    job = runs.run(acme, workflow(ask(retry=ONCE), outputs=outputs))
    assert job.result["outputs"] == {"endpoint": "backup", "model": "spare", "text": "You said: ?"}
    assert (len(model.asked), len(backup.asked)) == (1, 1)
    assert nodes_of(job)["ask"].outputs["endpoint"] == "backup"


def test_silent_endpoint_is_left_after_the_timeout_of_the_node(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer
) -> None:
    model.delay_seconds = 5
    job = runs.run(acme, workflow(ask(timeout_seconds=0.5), outputs={"by": {"ref": "nodes.ask.endpoint"}}))
    assert job.result["outputs"] == {"by": "backup"}


def test_permanent_error_uses_no_fallback(runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer) -> None:
    model.answer_next({"error": {"message": "Too long", "code": "context_length_exceeded"}}, status=400)
    job = runs.run(acme, workflow(ask()))
    assert (job.state, job.error_type, backup.asked) == ("discarded", "model_context_exceeded", [])
    assert "Too long" in run_of(job).error_message


def test_next_endpoint_answers_behind_an_open_breaker(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer
) -> None:
    change_settings(tenant=acme, values={"workflow_execution.llm_url": model.url})
    model.fail_next(401)
    outputs = {"by": {"ref": "nodes.ask.endpoint"}}
    assert runs.run(acme, workflow(ask(), outputs=outputs)).result["outputs"] == {"by": "backup"}
    runs.step(runs.start(acme, workflow()))
    with all_tenants():
        assert Circuit.objects.filter(state="open").exists()
    asked = len(model.asked)
    assert runs.run(acme, workflow(ask(), outputs=outputs)).result["outputs"] == {"by": "backup"}
    assert len(model.asked) == asked


def test_run_without_an_endpoint_that_answers_is_retried_and_fails(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer
) -> None:
    model.fail_next(503, times=2)
    backup.answer_next({"error": {"message": "Spare is down"}}, status=503, times=2)
    job = runs.run(acme, workflow(ask(retry={"max_retries": 1, "delay_seconds": 0.1})))
    assert (job.state, job.error_type) == ("discarded", "model_unavailable")
    assert "Spare is down" in run_of(job).error_message
    assert (len(model.asked), len(backup.asked)) == (2, 2)


def test_node_without_fallbacks_fails_with_its_endpoint(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer
) -> None:
    model.fail_next(500)
    job = runs.run(acme, workflow(ask(fallbacks=[], retry=ONCE)))
    assert (job.state, backup.asked) == ("discarded", [])


def test_unknown_fallback_is_refused_when_saved(runs: Runs, acme: Tenant, backup: ModelServer) -> None:
    with pytest.raises(WorkflowDefinitionError) as caught:
        runs.start(acme, workflow(ask(fallbacks=["backup", "other"])))
    assert [(fault["code"], fault["pointer"]) for fault in caught.value.errors] == [
        ("unknown_endpoint", "/nodes/1/config/fallbacks/1")
    ]


@pytest.mark.parametrize("streams", [True, False])
def test_answer_that_matches_its_schema_is_an_output(
    runs: Runs, acme: Tenant, model: ModelServer, streams: bool
) -> None:
    model.streams, model.reply = streams, lambda body: '{"city": "Rome"}'
    job = runs.run(acme, workflow(ask(response_format=FORMAT), outputs={"city": {"ref": "nodes.ask.json.city"}}))
    assert job.result["outputs"] == {"city": "Rome"}
    (asked,) = model.asked
    assert asked.body["response_format"] == FORMAT


def test_answer_that_does_not_match_is_repaired_once(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    model.reply = lambda body: '{"city": "Rome"}' if len(body["messages"]) > 1 else '{"town": "Rome"}'
    job = runs.run(acme, workflow(ask(response_format=FORMAT), outputs={"city": {"ref": "nodes.ask.json.city"}}))
    assert job.result["outputs"] == {"city": "Rome"}
    _, repair = model.asked
    assert [message["role"] for message in repair.body["messages"]] == ["user", "assistant", "user"]
    assert "city" in repair.body["messages"][2]["content"]
    counted = [sum(len(message["content"].split()) for message in one.body["messages"]) for one in model.asked]
    assert nodes_of(job)["ask"].tokens == sum(counted) + 4


def test_answer_that_does_not_match_twice_fails_the_node(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    model.reply = lambda body: "Rome"
    job = runs.run(acme, workflow(ask(response_format={"type": "json_object"})))
    assert (job.error_type, len(model.asked)) == ("answer_mismatch", 2)


def test_tool_calls_are_an_output(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    call = {"id": "a", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    model.answer_next(
        {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    )
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    definition = workflow(
        ask(tools=tools, tool_choice="auto", response_format=FORMAT),
        outputs={"city": {"ref": "nodes.ask.tool_calls.0.arguments.city"}},
    )
    assert runs.run(acme, definition).result["outputs"] == {"city": "Rome"}
    assert model.asked[0].body["tools"] == tools


def test_options_of_a_node_are_sent(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    runs.run(acme, workflow(ask(max_completion_tokens=50, extra_body={"seed": 7, "stop": ["x"]}, stream=False)))
    (asked,) = model.asked
    sent = {
        name: asked.body.get(name) for name in ("max_completion_tokens", "seed", "stop", "stream", "stream_options")
    }
    assert sent == {"max_completion_tokens": 50, "seed": 7, "stop": ["x"], "stream": False, "stream_options": None}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"extra_body": {"model": "other"}}, "/extra_body"),
        ({"extra_body": {"stream": False}}, "/extra_body"),
        ({"extra_body": {"text": "x" * 20_000}}, "/extra_body"),
        ({"response_format": {"type": "json_schema"}}, "/response_format"),
        (
            {"response_format": {**FORMAT, "json_schema": {"name": "x", "schema": {"pattern": "(a+)+$"}}}},
            "/response_format/json_schema/schema",
        ),
    ],
)
def test_config_that_cannot_be_sent_is_refused_when_saved(runs: Runs, acme: Tenant, fields: Any, place: str) -> None:
    with pytest.raises(WorkflowDefinitionError) as caught:
        runs.start(acme, workflow(ask(**fields)))
    (fault,) = caught.value.errors
    assert fault["pointer"] == f"/nodes/1/config{place}"
    assert len(json.dumps(fault)) < 2_000
