"""Workflows on real workers: the examples, waiting runs, and a run whose worker dies at random times."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from scheduling.execution.lost_sessions import session_name
from scheduling.models import Job, Worker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import update_tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import executions_of, fetch, wait_for
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.serving import is_ready
from tests.model_server import ModelServer, model_server
from tests.unit.workloads.workflows.definitions import each, node, workflow
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.service import create_dataset
from workloads.workflows.models import Approval
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.runs import decide_approval, start_run
from workloads.workflows.service import create_workflow

EXAMPLES = Path(settings.BASE_DIR) / "examples" / "workflows"
PATIENCE_SECONDS = 120.0
# A run is quarantined by its third crash, so each is killed twice; WORKFLOW_KILLS=50 tries 50 times.
KILLS = int(os.environ.get("WORKFLOW_KILLS", "4"))
KILLS_PER_RUN = 2
ITEMS = 24
WAITING_RUNS = 30
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def io_worker(platform: Platform, model: ModelServer) -> Iterator[ManagedProcess]:
    """Start a worker of the pool `io` with the model; documents are indexed by the shared worker."""
    environment = {"LLM_API_URL": model.url, "LLM_MODEL": "stub", "OUTGOING_HTTP_ALLOWED_HOSTS": model.host}
    worker = platform.begin_worker(concurrency=WAITING_RUNS, pool="io", **environment)
    eventually(lambda: is_ready(worker) or not worker.is_running, within=START_SECONDS, what="the worker is ready")
    assert worker.is_running, worker.log
    yield worker
    worker.stop()
    assert "Traceback" not in worker.log, worker.log


def start(tenant: Tenant, definition: Any, inputs: dict[str, Any], name: str) -> Job:
    made = create_workflow(tenant=tenant, name=name, definition=definition)
    return start_run(tenant=tenant, workflow=made, inputs=inputs).job


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def succeeded(tenant: Tenant, job: Job) -> set[tuple[str, tuple[int, ...]]]:
    """Return the nodes of a run that are recorded as completed."""
    with tenant_context(tenant):
        rows = NodeRun.objects.filter(run_id=job.pk, state="succeeded").values_list("node_id", "path")
        return {(node_id, tuple(path)) for node_id, path in rows}


def test_example_workflows_complete(
    io_worker: ManagedProcess, acme: Tenant, model: ModelServer, platform: Platform
) -> None:
    dataset = create_dataset(tenant=acme, name="handbook", chunk_size=60)
    text = b"The scheduler gives every tenant its share of the workers. Lunch is at noon."
    upload_documents(tenant=acme, dataset=dataset, files=[SimpleUploadedFile("a.txt", text)])
    with tenant_context(acme):
        indexing = Job.objects.get(kind="document_indexing")
    wait_for(indexing, "completed", within=PATIENCE_SECONDS)

    asked = {"question": "What does the scheduler give?", "dataset": str(dataset.pk)}
    answering = start(acme, example("answer_from_knowledge"), asked, "answer")
    summing = start(acme, example("summarise_many"), {"texts": ["one", "two", "three"]}, "sum up")
    hook = f"{model.url}/embeddings"
    publishing = start(acme, example("publish_with_approval"), {"topic": "tea"}, "publish")
    sending = start(acme, example("publish_with_approval"), {"topic": "tin", "webhook": hook}, "publish and send")

    answer = wait_for(answering, "completed", within=PATIENCE_SECONDS).result["outputs"]
    assert "every tenant its share" in answer["answer"]
    assert answer["passages"][0]["document"] == "a.txt"
    outputs = wait_for(summing, "completed", within=PATIENCE_SECONDS).result["outputs"]
    assert (len(outputs["summaries"]), outputs["left_out"]) == (3, 0)

    for job, is_approved in ((publishing, True), (sending, False)):
        wait_for(job, "suspended", within=PATIENCE_SECONDS)
        with tenant_context(acme):
            approval = Approval.objects.get(job_id=job.pk)
            decide_approval(approval_id=approval.pk, is_approved=is_approved, comment="as it is")
    published = wait_for(publishing, "completed", within=PATIENCE_SECONDS)
    assert published.result["outputs"]["status"] == "Published."
    assert [execution.outcome for execution in executions_of(published)] == ["put_off", "put_off", "completed"]
    kept = wait_for(sending, "completed", within=PATIENCE_SECONDS)
    assert kept.result["outputs"]["status"] == "Not published: as it is"
    with tenant_context(acme):
        states = set(WorkflowRun.objects.values_list("state", flat=True))
    assert states == {"succeeded"}
    platform.run("verify", "ledger")
    platform.run("verify")


def test_runs_that_wait_for_a_model_share_a_process_and_few_connections(
    io_worker: ManagedProcess, acme: Tenant, model: ModelServer
) -> None:
    update_tenant(tenant=acme, changes={"max_concurrency": WAITING_RUNS})
    released = threading.Event()
    model.reply = lambda body: str(released.wait(PATIENCE_SECONDS))
    definition = workflow(node("ask", "llm", prompt="?"), outputs={"answer": {"ref": "nodes.ask.text"}})
    made = create_workflow(tenant=acme, name="wait", definition=definition)
    jobs = [start_run(tenant=acme, workflow=made, inputs={}).job for _ in range(WAITING_RUNS)]
    try:
        eventually(lambda: len(model.prompts) == WAITING_RUNS, within=PATIENCE_SECONDS, what="all runs wait")
        assert len(io_worker.children()) == 1
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(CONNECTIONS, [session_name(Worker.objects.get(pid=io_worker.pid).pk)])
            assert cursor.fetchone()[0] <= 8
        assert {fetch(job).state for job in jobs} == {"executing"}
    finally:
        released.set()
    for job in jobs:
        done = wait_for(job, "completed")
        assert done.result["outputs"] == {"answer": "True"}
        assert [execution.outcome for execution in executions_of(done)] == ["completed"]


@pytest.mark.slow
def test_run_after_worker_crash_repeats_no_stored_step(
    io_worker: ManagedProcess, acme: Tenant, model: ModelServer, platform: Platform
) -> None:
    chance = random.Random(20_261_125)
    model.part_delay_seconds = 0.05
    steps = node("note", template="{{ nodes.ask.text }}")
    definition = workflow(
        node("first", "llm", prompt="{{ inputs.run }} first"),
        each(
            "each",
            list(range(ITEMS)),
            node("ask", "llm", prompt="{{ inputs.run }} item {{ item }}"),
            steps,
            ways=["ask > note"],
            parallel=3,
        ),
        node("last", "llm", prompt="{{ inputs.run }} last"),
        inputs={"run": {"type": "string"}},
        outputs={"answers": {"ref": "nodes.each.results"}},
    )
    for number in range(-(-KILLS // KILLS_PER_RUN)):
        name = f"run {number}"
        job = start(acme, definition, {"run": name}, name)
        for kill in range(KILLS_PER_RUN):
            moment = chance.randint(1, 10) + kill * 12
            eventually(
                lambda name=name, moment=moment: len(prompts_of(model, name)) >= moment,
                within=PATIENCE_SECONDS,
                what="the run has started",
            )
            for child in io_worker.children():
                os.kill(child, signal.SIGKILL)
            # After the kill, so that all of it was stored before.
            kept = succeeded(acme, job)
            asked = Counter(prompts_of(model, name))
            eventually(lambda job=job, kill=kill: fetch(job).fence >= kill + 2, within=PATIENCE_SECONDS)
            check_not_repeated(model, name, kept, asked)
        job = wait_for(job, "completed", within=PATIENCE_SECONDS)
        check_not_repeated(model, name, kept, asked)
        expected = [f"You said: {name} item {item}" for item in range(ITEMS)]
        assert job.result["outputs"]["answers"] == expected
        assert len(succeeded(acme, job)) == 2 * ITEMS + 5
        assert {execution.outcome for execution in executions_of(job)} == {"crashed", "completed"}
    platform.run("verify", "ledger")


def prompts_of(model: ModelServer, name: str) -> list[str]:
    return [prompt for prompt in model.prompts if prompt.startswith(f"{name} ")]


def check_not_repeated(
    model: ModelServer, name: str, kept: set[tuple[str, tuple[int, ...]]], asked: Counter[str]
) -> None:
    """Verify that no prompt recorded as completed before the crash was sent again."""
    now = Counter(prompts_of(model, name))
    prompts = {f"{name} item {path[0]}" for node_id, path in kept if node_id == "ask"}
    prompts |= {f"{name} {node_id}" for node_id, _ in kept if node_id in {"first", "last"}}
    assert {prompt: now[prompt] for prompt in prompts} == {prompt: asked[prompt] for prompt in prompts}
