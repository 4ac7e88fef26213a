"""Graphs of pipelines: branches, models and hosts for each entity, and the records of their nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scheduling.jobs.lifecycle import JobState
from scheduling.kit.base import Interrupted
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.workloads.pipelines.conftest import (
    JobRunner,
    begin_graph,
    chunks_of,
    entities_of,
    paragraphs,
    records_of,
    run_of,
    text,
)
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server
from workloads.documents.models import Dataset, Document
from workloads.workflows.records.models import WorkflowRun
from workloads.workflows.records.queries import find_runs

SHORT, LONG = text("short.txt", "A short text."), text("long.txt", paragraphs(9))
IS_LONG = {"cases": [{"name": "long", "all": [{"ref": "nodes.extract.characters", "op": "gt", "value": 100}]}]}
WHICH = {"type": "condition", "config": IS_LONG}
ASK = {"type": "llm", "config": {"endpoint": "own", "prompt": "Sum up: {{ nodes.clean.text }}"}}


@pytest.fixture
def website(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        yield running


def test_record_of_a_run_counts_the_entities_of_each_node(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner
) -> None:
    run = begin_graph(acme, {}, ["clean split"], SHORT, LONG, text("bad.txt", " \n "))
    with tenant_context(acme):
        waiting = WorkflowRun.objects.get(pk=run.job_id)
    assert (waiting.state, waiting.workflow_id, waiting.inputs["entities"]) == ("waiting", run.pipeline_id, 3)
    assert len(waiting.graph["nodes"]) == 6
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    with tenant_context(acme):
        record = find_runs().get(pk=run.job_id)
    assert (record.shown_state, record.outputs["entities"]) == ("succeeded", {"completed": 2, "error": 1})
    nodes = records_of(run)
    assert {name: (row.state, row.outputs["entities"], row.outputs["failed"]) for name, row in nodes.items()} == {
        "datasource": ("succeeded", 3, 0),
        "extract": ("failed", 2, 1),
        "clean": ("succeeded", 2, 0),
        "split": ("succeeded", 2, 0),
        "embed": ("succeeded", 2, 0),
        "load": ("succeeded", 2, 0),
    }
    assert (nodes["extract"].error_code, nodes["extract"].outputs["first_errors"]) == (
        "file_without_text",
        ["bad.txt: file_without_text"],
    )
    assert all(row.started_at <= row.ended_at for row in nodes.values())
    assert nodes["extract"].outputs["seconds"] > 0


def test_run_whose_entities_all_fail_has_a_failed_record(acme: Tenant, dataset: Dataset, job_runner: JobRunner) -> None:
    run = begin_graph(acme, {}, ["clean split"], text("bad.txt", " \n "))
    job_runner.run(run.job_id)
    with tenant_context(acme):
        record = find_runs().get(pk=run.job_id)
    assert (record.shown_state, record.error_code) == ("failed", "entities_failed")


def test_condition_chooses_how_an_entity_is_split(acme: Tenant, dataset: Dataset, job_runner: JobRunner) -> None:
    other = {"type": "split", "config": {"chunk_size": 500}}
    edges = ["clean which", "which split long", "which other else", "other embed"]
    run = begin_graph(acme, {"which": WHICH, "other": other}, edges, SHORT, LONG)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    short, long = entities_of(run)
    assert (len(chunks_of(short)), len(chunks_of(long))) == (1, 9)
    nodes = records_of(run)
    assert [(nodes[name].outputs["entities"], nodes[name].outputs["skipped"]) for name in ("split", "other")] == [
        (1, 1),
        (1, 1),
    ]


def test_entity_that_no_branch_leads_to_load_is_completed_without_a_document(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner
) -> None:
    edges = ["split which", "which embed long"]
    run = begin_graph(acme, {"which": WHICH}, edges, SHORT, LONG, replaced="split embed")
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    short, long = entities_of(run)
    assert (short.shown_state, short.document_id, long.shown_state) == ("completed", None, "completed")
    assert run_of(run).entities_completed == 2
    with tenant_context(acme):
        assert Document.objects.count() == 1


def test_node_that_continues_after_its_error_leaves_the_error(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, website: WebServer
) -> None:
    website.answers = {"/short.txt": (404, {}, b""), "/long.txt": (200, {}, b"known")}
    node = {
        "type": "http_request",
        "on_error": "continue",
        "config": {"url": website.url + "/{{ nodes.datasource.name }}", "method": "POST"},
    }
    pick = {
        "type": "merge",
        "config": {"values": [{"ref": "nodes.look.body"}, {"ref": "nodes.look.error.code"}]},
    }
    split = {"chunk_size": 100, "text": {"ref": "nodes.pick.value"}}
    edges = ["clean look", "look pick", "pick split"]
    run = begin_graph(acme, {"look": node, "pick": pick}, edges, SHORT, LONG, split=split)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    assert [chunks_of(entity) for entity in entities_of(run)] == [["http_404"], ["known"]]
    keys = {seen.headers["Idempotency-Key"] for seen in website.seen}
    assert len(keys) == 2


def test_host_of_a_node_that_is_down_fails_its_entity(
    acme: Tenant,
    dataset: Dataset,
    job_runner: JobRunner,
    website: WebServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = {"type": "http_request", "config": {"url": website.url}}
    run = begin_graph(acme, {"look": node}, ["clean look", "look split"], SHORT)

    def refuse(runtime: Any, dependency: Any) -> None:
        raise Interrupted("dependency")

    monkeypatch.setattr("tests.integration.workloads.pipelines.conftest.TestRuntime.enter_dependency", refuse)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    (entity,) = entities_of(run)
    assert (entity.shown_error_code, entity.attempt, website.seen) == ("host_down", 4, [])


def test_missing_value_and_large_outputs_are_errors_of_the_entity(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, website: WebServer
) -> None:
    website.answers = {"/short.txt": (200, {}, b"x" * 300_000), "/long.txt": (200, {}, b"no json")}
    node = {"type": "http_request", "config": {"url": website.url + "/{{ nodes.datasource.name }}"}}
    split = {"text": {"ref": "nodes.look.json.title"}}
    run = begin_graph(acme, {"look": node}, ["clean look", "look split"], SHORT, LONG, split=split)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    large, missing = entities_of(run)
    assert (large.shown_error_code, missing.shown_error_code) == ("value_too_large", "variable_missing")
    assert {row.outputs["failed"] for name, row in records_of(run).items() if name in ("look", "split")} == {1}


def test_unread_output_is_not_stored(acme: Tenant, dataset: Dataset, job_runner: JobRunner, website: WebServer) -> None:
    website.answers = {"/": (200, {}, b"x" * 300_000)}
    node = {"type": "http_request", "config": {"url": website.url + "/"}}
    run = begin_graph(acme, {"tell": node}, ["clean split", "split tell"], SHORT)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    (entity,) = entities_of(run)
    assert (entity.shown_state, len(website.seen)) == ("completed", 1)
