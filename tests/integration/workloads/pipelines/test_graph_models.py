"""Models that the graphs of pipelines ask for each entity."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scheduling.jobs.lifecycle import JobState
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.pipelines.conftest import (
    JobRunner,
    begin_graph,
    chunks_of,
    entities_of,
    paragraphs,
    records_of,
    rescue,
    run_of,
    text,
)
from tests.model_server import ModelServer, model_server
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.models import Dataset, Document
from workloads.documents.service import update_dataset
from workloads.model_endpoints.models import UsageDay
from workloads.model_endpoints.service import create_endpoint
from workloads.pipelines.runs import retry_entity
from workloads.workflows.records.models import WorkflowRun

SHORT, LONG = text("short.txt", "A short text."), text("long.txt", paragraphs(9))
IS_LONG = {"cases": [{"name": "long", "all": [{"ref": "nodes.extract.characters", "op": "gt", "value": 100}]}]}
WHICH = {"type": "condition", "config": IS_LONG}
ASK = {"type": "llm", "config": {"endpoint": "own", "prompt": "Sum up: {{ nodes.clean.text }}"}}


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(acme: Tenant, change_platform_settings: ChangePlatformSettings) -> Iterator[ModelServer]:
    """Return acme's endpoint."""
    with model_server() as server:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[server.host])
        create_endpoint(tenant=acme, name="own", url=server.url, models=[{"name": "first", "use": "chat"}])
        yield server


def test_answer_of_a_model_is_split_and_its_tokens_are_counted(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, model: ModelServer
) -> None:
    split = {"chunk_size": 100, "text": {"template": "# {{ nodes.datasource.name }}\n\n{{ nodes.ask.text }}"}}
    run = begin_graph(acme, {"ask": ASK}, ["clean ask", "ask split"], SHORT, text("b.txt", "Other."), split=split)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    first, second = entities_of(run)
    assert chunks_of(first) == ["short.txt\nYou said: Sum up: A short text."]
    assert chunks_of(second) == ["b.txt\nYou said: Sum up: Other."]
    assert len(model.asked) == 2
    with all_tenants():
        day, record = UsageDay.objects.get(), WorkflowRun.objects.get(pk=run.job_id)
    assert (day.requests, record.total_tokens) == (2, day.prompt_tokens + day.completion_tokens)
    # Kept only until the entity is completed.
    assert (first.outputs, set(first.nodes)) == (
        {},
        {"datasource", "extract", "clean", "ask", "split", "embed", "load"},
    )


def test_same_content_with_another_answer_is_another_document(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, model: ModelServer
) -> None:
    split = {"chunk_size": 100, "text": {"template": "{{ nodes.datasource.name }}: {{ nodes.ask.text }}"}}
    run = begin_graph(acme, {"ask": ASK}, ["clean ask", "ask split"], SHORT, {**SHORT, "name": "c.txt"}, split=split)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    assert len({entity.document_id for entity in entities_of(run)}) == 2


def test_answer_fills_the_metadata_of_the_document(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, model: ModelServer
) -> None:
    with tenant_context(acme):
        update_dataset(dataset=dataset, metadata_fields=[{"name": "summary", "type": "text"}])
    good = {"dataset": "handbook", "metadata": {"summary": {"ref": "nodes.ask.text"}}}
    run = begin_graph(acme, {"ask": ASK}, ["clean split", "clean ask", "ask load"], SHORT, LONG, load=good)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    short, long = entities_of(run)
    with tenant_context(acme):
        assert Document.objects.get(pk=short.document_id).metadata == {"summary": "You said: Sum up: A short text."}
    # The answer for the other is too long for a value.
    assert (long.shown_state, long.shown_error_code) == ("error", "field_invalid")
    assert records_of(run)["load"].outputs["first_errors"] == ["long.txt: field_invalid"]


@pytest.mark.parametrize("stop_after", [2, 3, 4, 5])
def test_stored_answer_is_not_asked_for_again(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, model: ModelServer, stop_after: int
) -> None:
    split = {"chunk_size": 100, "text": {"ref": "nodes.ask.text"}}
    run = begin_graph(acme, {"ask": ASK}, ["clean ask", "ask split"], SHORT, split=split)
    job = job_runner.run(run.job_id, stop_after=stop_after)
    stored = bool(entities_of(run)[0].outputs)
    asked = len(model.asked)
    while job.state == JobState.EXECUTING:
        job = job_runner.run(rescue(job).pk)
    assert chunks_of(entities_of(run)[0]) == ["You said: Sum up: A short text."]
    assert len(model.asked) == asked + (0 if stored or asked == 0 else 1) or asked == 0
    nodes = records_of(run)
    assert {name: row.outputs["entities"] for name, row in nodes.items()} == dict.fromkeys(nodes, 1)


def test_failed_model_fails_its_entity_which_is_retried_from_there(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, model: ModelServer
) -> None:
    run = begin_graph(acme, {"ask": ASK}, ["clean ask", "ask split"], SHORT, split={"text": {"ref": "nodes.ask.text"}})
    model.fail_next(400)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    (entity,) = entities_of(run)
    assert (entity.shown_state, entity.attempt, records_of(run)["ask"].state) == ("error", 1, "failed")
    with tenant_context(acme):
        again = retry_entity(entity_id=entity.pk)
    assert job_runner.run(again.job_id).state == JobState.COMPLETED
    assert run_of(run).shown_state == "completed"
    with tenant_context(acme):
        record = WorkflowRun.objects.get(pk=again.job_id)
    assert (record.state, record.inputs["entity"]) == ("succeeded", str(entity.pk))


def test_transient_failure_is_retried_and_uses_attempts(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, model: ModelServer
) -> None:
    run = begin_graph(acme, {"ask": ASK}, ["clean ask", "ask split"], SHORT, split={"text": {"ref": "nodes.ask.text"}})
    model.fail_next(503, times=2, **{"Retry-After": "0"})
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    (entity,) = entities_of(run)
    assert (entity.shown_state, entity.attempt, len(model.asked)) == ("completed", 3, 3)
