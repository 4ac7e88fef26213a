"""Runs with nodes of type `llm`: fall-back endpoints, answers that must match a schema, tools, and options."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from scheduling.models import Circuit
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.workloads.workflows.conftest import Runs, nodes_of, outcomes, run_of
from tests.model_server import ModelServer, model_server
from tests.unit.workloads.workflows.definitions import node, workflow
from workloads.model_endpoints.models import UsageDay
from workloads.model_endpoints.service import create_endpoint
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
        create_endpoint(tenant=acme, name="backup", url=server.url, models=[{"name": "spare", "use": "chat"}])
        yield server


def ask(**fields: Any) -> dict[str, Any]:
    return node("ask", "llm", **{"prompt": "?", "model": "first", **fields})


def ask_either(**fields: Any) -> dict[str, Any]:
    """Return a node whose fall-back is `backup`."""
    return ask(fallbacks=["backup"], **fields)


@pytest.mark.parametrize("status", [429, 500, 503, 401])
def test_next_endpoint_answers_if_the_first_is_down(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer, status: int
) -> None:
    model.fail_next(status)
    outputs = {name: {"ref": f"nodes.ask.{name}"} for name in ("endpoint", "model", "text")}
    job = runs.run(acme, workflow(ask_either(retry=ONCE), outputs=outputs))
    assert job.result["outputs"] == {"endpoint": "backup", "model": "spare", "text": "You said: ?"}
    assert (len(model.asked), len(backup.asked)) == (1, 1)
    assert nodes_of(job)["ask"].outputs["endpoint"] == "backup"


def test_silent_endpoint_is_left_after_the_timeout_of_the_node(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer
) -> None:
    model.delay_seconds = 5
    job = runs.run(acme, workflow(ask_either(timeout_seconds=0.5), outputs={"by": {"ref": "nodes.ask.endpoint"}}))
    assert job.result["outputs"] == {"by": "backup"}


def test_permanent_error_uses_no_fallback(runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer) -> None:
    model.answer_next({"error": {"message": "Too long", "code": "context_length_exceeded"}}, status=400)
    job = runs.run(acme, workflow(ask_either()))
    assert (job.state, job.error_type, backup.asked) == ("discarded", "model_context_exceeded", [])
    assert "Too long" in run_of(job).error_message


def test_next_endpoint_answers_behind_an_open_breaker(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer
) -> None:
    create_endpoint(tenant=acme, name="own", url=model.url, models=[{"name": "first", "use": "chat"}])
    model.fail_next(401)
    outputs = {"by": {"ref": "nodes.ask.endpoint"}}
    assert runs.run(acme, workflow(ask_either(), outputs=outputs)).result["outputs"] == {"by": "backup"}
    runs.step(runs.start(acme, workflow()))
    with all_tenants():
        assert Circuit.objects.filter(state="open").exists()
    asked = len(model.asked)
    assert runs.run(acme, workflow(ask_either(), outputs=outputs)).result["outputs"] == {"by": "backup"}
    assert len(model.asked) == asked


def test_run_without_an_endpoint_that_answers_is_retried_and_fails(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer
) -> None:
    model.fail_next(503, times=2)
    backup.answer_next({"error": {"message": "Spare is down"}}, status=503, times=2)
    job = runs.run(acme, workflow(ask_either(retry={"max_retries": 1, "delay_seconds": 0.1})))
    assert (job.state, job.error_type) == ("discarded", "model_unavailable")
    assert "Spare is down" in run_of(job).error_message
    assert (len(model.asked), len(backup.asked)) == (2, 2)


def test_node_without_fallbacks_fails_with_its_endpoint(
    runs: Runs, acme: Tenant, model: ModelServer, backup: ModelServer
) -> None:
    model.fail_next(500)
    job = runs.run(acme, workflow(ask(retry=ONCE)))
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


def own(acme: Tenant, model: ModelServer, **values: Any) -> None:
    """Store the endpoint `own` of acme with the default model `m`."""
    models = [{"name": "m", "use": "chat", "is_default": True, **values}]
    create_endpoint(tenant=acme, name="own", url=model.url, models=models)


def test_tokens_and_cost_of_a_run_are_counted(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    own(acme, model, input_price=Decimal(1_000_000), output_price=Decimal(2_000_000))
    definition = workflow(node("a", "llm", prompt="one two"), node("b", "llm", prompt="one", endpoint="platform"))
    run = run_of(runs.run(acme, definition))
    with all_tenants():
        rows = {(row.endpoint, row.model): row for row in UsageDay.objects.all()}
    counted = rows["own", "m"]
    assert (counted.requests, counted.prompt_tokens, counted.completion_tokens) == (1, 2, 4)
    assert (counted.cost, rows["platform", "stub"].cost) == (10, None)
    assert run.total_cost == 10


def test_tokens_of_a_failed_node_are_counted(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    own(acme, model)
    model.reply = lambda body: "Rome"
    job = runs.run(acme, workflow(node("ask", "llm", prompt="?", response_format={"type": "json_object"})))
    assert job.error_type == "answer_mismatch"
    with all_tenants():
        assert UsageDay.objects.get().requests == 2
    assert run_of(job).total_cost is None


def test_run_waits_at_the_limit_of_a_minute_without_an_attempt(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    own(acme, model, requests_per_minute=1)
    job = runs.run(acme, workflow(node("a", "llm", prompt="?"), node("b", "llm", prompt="?", retry=ONCE)))
    assert (outcomes(job)[-1], len(model.asked)) == ("put_off", 1)
    waiting = nodes_of(job)["b"]
    assert (waiting.state, waiting.attempt) == ("waiting", 1)


def test_run_fails_at_the_limit_of_a_month(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    own(acme, model, tokens_per_month=50)
    job = runs.run(acme, workflow(node("ask", "llm", prompt="?", max_tokens=60)))
    assert (job.state, job.error_type, model.asked) == ("discarded", "model_limit_reached", [])
    assert "tokens of this month" in run_of(job).error_message


def test_model_that_the_endpoint_does_not_list_fails_the_node(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    own(acme, model)
    job = runs.run(acme, workflow(node("ask", "llm", prompt="?", endpoint="own", model="other")))
    assert (job.error_type, model.asked) == ("unknown_model", [])


def test_texts_are_embedded_by_the_named_model(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    vectors = {"name": "v", "use": "embedding", "dimensions": 8, "requests_per_minute": 1}
    create_endpoint(tenant=acme, name="own", url=model.url, models=[vectors])
    outputs = {name: {"ref": f"nodes.embed.{name}"} for name in ("vectors", "dimensions", "model")}
    definition = workflow(
        node("embed", "embedding", texts={"value": ["one two", "three"]}, endpoint="own"), outputs=outputs
    )
    job = runs.run(acme, definition)
    result = job.result["outputs"]
    assert ([len(one) for one in result["vectors"]], result["dimensions"], result["model"]) == ([8, 8], 8, "v")
    with all_tenants():
        usage = UsageDay.objects.get()
    assert (usage.endpoint, usage.model, usage.prompt_tokens) == ("own", "v", 3)
    assert (nodes_of(job)["embed"].tokens, model.asked[0].body["dimensions"]) == (3, 8)
    assert outcomes(runs.run(acme, definition))[-1] == "put_off"


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": [{"index": 0, "embedding": [0.5]}]},
        {"data": [{"index": 0, "embedding": [float("nan")] * 8}]},
        {"data": [{"index": 0, "embedding": [10**400] * 8}]},
        {"data": "none"},
        [],
    ],
    ids=["none", "short", "nan", "huge", "text", "list"],
)
def test_vectors_that_do_not_fit_the_model_fail_the_node(
    runs: Runs, acme: Tenant, model: ModelServer, body: Any
) -> None:
    create_endpoint(tenant=acme, name="own", url=model.url, models=[{"name": "v", "use": "embedding", "dimensions": 8}])
    model.answer_next(body)
    job = runs.run(acme, workflow(node("embed", "embedding", texts={"value": "one"}, endpoint="own")))
    assert (job.state, job.error_type) == ("discarded", "model_answer_invalid")
