"""Values of workloads in the tables: endpoints of webhooks, values of workflows, completion jobs of batches."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User

from scheduling.jobs.batches.completion import CompletionJob
from scheduling.jobs.batches.service import open_batch
from scheduling.models import Batch
from scheduling.upkeep.stored_values import seal_page, sealed_models
from tenants.context import all_tenants, tenant_context
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.error_texts import NOT_READABLE
from tenants.encryption.fields import SealedTextField, sealed_field
from tenants.models import Tenant
from tests.integration.api.conftest import session_of
from tests.integration.scheduling.jobs.test_sealed_values import MARKER, everything, master
from tests.integration.workloads.workflow_records.conftest import ended, later, new_node, new_run
from tests.platform_settings import ChangePlatformSettings
from workloads.webhooks.endpoints import open_endpoint, record_attempt
from workloads.webhooks.models import Delivery, Webhook
from workloads.webhooks.service import create_webhook
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.records.records import RecordState
from workloads.workflows.records.repository import save_records

URL = f"https://hooks.example.com/{MARKER}"


@pytest.fixture(autouse=True)
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    yield
    forget_keys()


def make_webhook(tenant: Tenant) -> Webhook:
    webhook = create_webhook(tenant=tenant, name="ops", url=URL).webhook
    facts = {"tenant_id": tenant.pk, "webhook_id": webhook.pk, "job_id": webhook.pk, "event": "x", "seconds": 0.1}
    record_attempt(**facts, attempt=1, status=500, error=f"no {MARKER}", answer=f"not {MARKER}")
    return webhook


def make_run(tenant: Tenant) -> None:
    with tenant_context(tenant):
        run = new_run(tenant, inputs={"question": MARKER})
        node = new_node(run, path=(1, 2), inputs={"text": MARKER})
        save_records(run, [node])
        save_records(
            later(run, state=RecordState.SUCCEEDED, outputs={"answer": MARKER}),
            [ended(node, outputs={"answer": MARKER})],
        )


def make_batch(tenant: Tenant) -> Batch:
    completion = CompletionJob(kind="noop", payload={"note": MARKER}, only_if_completed=True)
    return open_batch(tenant=tenant, label="b", on_completion=completion)[0]


def check_values(tenant: Tenant, webhook: Webhook, batch: Batch) -> None:
    """Check that the rows are read as they were written."""
    assert open_endpoint(tenant.pk, webhook.pk).url == URL
    with tenant_context(tenant):
        attempt = Delivery.objects.get()
        assert (attempt.error, attempt.answer) == (f"no {MARKER}", f"not {MARKER}")
        run, node = WorkflowRun.objects.get(), NodeRun.objects.get()
        assert (run.inputs, run.outputs) == ({"question": MARKER}, {"answer": MARKER})
        assert run.graph["nodes"]
        assert (node.inputs, node.outputs) == ({"text": MARKER}, {"answer": MARKER})
        stored = Batch.objects.get(pk=batch.pk)
        assert (stored.on_completion["payload"], stored.only_if_completed) == ({"note": MARKER}, True)


def without_audit(text: str) -> str:
    """Return the rows without those of the audit log, which has the URL that was set."""
    return "\n".join(row for row in text.splitlines() if "webhook.created" not in row)


def test_values_of_workloads_are_sealed_and_read(acme: Tenant) -> None:
    webhook, batch = make_webhook(acme), make_batch(acme)
    make_run(acme)
    assert MARKER not in without_audit(everything())
    forget_keys()
    check_values(acme, webhook, batch)


def test_old_values_of_workloads_are_sealed_by_the_command(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    webhook, batch = make_webhook(acme), make_batch(acme)
    make_run(acme)
    assert MARKER in without_audit(everything())
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    counts = {model.__name__: seal_page(model).sealed for model in sealed_models()}
    assert {name for name, count in counts.items() if count} == {
        "Batch",
        "Webhook",
        "Delivery",
        "WorkflowRun",
        "NodeRun",
    }
    assert MARKER not in without_audit(everything())
    check_values(acme, webhook, batch)


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize("text", ["$sealed:1:00:AA==", "$plain:x", "$", "", "x"])
def test_text_that_looks_sealed_is_stored_as_a_text(
    acme: Tenant, change_platform_settings: ChangePlatformSettings, text: str, *, is_on: bool
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")] if is_on else [])
    field = sealed_field(Delivery, "answer")
    assert isinstance(field, SealedTextField)
    place = {"tenant_id": acme.pk, "row_id": acme.pk}
    assert field.opened(field.stored(text, **place), **place) == text


def test_webhook_without_its_key_is_unavailable(
    acme_user: User, acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    make_webhook(acme)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[base64.b64encode(b"z" * 32).decode()])
    answer = session_of(acme_user).get("/api/v1/webhooks/")
    assert (answer.status_code, answer.json()["code"]) == (503, "data_key_unavailable")
    with all_tenants():
        assert Webhook.objects.filter(tenant=acme).exists()


def make_failures(tenant: Tenant) -> None:
    """Store an error text in each table of a workload."""
    error = {"error_code": "x", "error_message": f"run {MARKER}"}
    with tenant_context(tenant):
        run = new_run(tenant)
        node = new_node(run)
        save_records(run, [node])
        save_records(later(run, state=RecordState.FAILED, **error), [ended(node, RecordState.FAILED, **error)])


def test_error_texts_of_workflow_runs_are_sealed_and_read(acme: Tenant, acme_user: User) -> None:
    make_failures(acme)
    assert MARKER not in everything()
    forget_keys()
    person = session_of(acme_user)
    (run,) = person.get("/api/v1/workflow-runs/").json()["results"]
    assert run["error"] == {"code": "x", "message": f"run {MARKER}"}
    with tenant_context(acme):
        assert NodeRun.objects.get().error_message == f"run {MARKER}"


def test_list_of_runs_without_the_key_states_it(
    acme_user: User, acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    make_failures(acme)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("z")])
    answer = session_of(acme_user).get("/api/v1/workflow-runs/")
    assert answer.status_code == 200
    assert answer.json()["results"][0]["error"]["message"] == NOT_READABLE
