"""Members of batches that fail or are cancelled are undone, last first; those of batches that succeed are not."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from scheduling.compensation.exceptions import CompensationNotOpenError
from scheduling.compensation.service import retry_compensation, settle_compensation
from scheduling.exceptions import PayloadInvalidError
from scheduling.jobs.batches.cancelling import cancel_batch
from scheduling.models import Compensation, Job
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import ReasonRequiredError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.api.test_access import API
from tests.integration.scheduling.compensation.conftest import Proceed, charge_all, refund, states
from tests.integration.scheduling.compensation.payments import Payments
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.workloads.webhooks.conftest import Run

pytestmark = pytest.mark.usefixtures("transactional_db")


def test_members_of_a_failed_batch_are_refunded_and_shown(
    acme: Tenant, payments: Payments, proceed: Proceed, api_client
) -> None:
    batch = charge_all(acme, payments, "a1", "a2", "declined")
    proceed()
    assert states(batch) == ["compensated"] * 3
    assert payments.charged("a") == set()
    api: APIClient = api_client(acme)
    assert api.get(f"{API}batches/{batch.pk}/").json()["compensation"] == "compensated"
    rows = api.get(f"{API}compensations/?owner={batch.pk}&state=compensated").json()["results"]
    with all_tenants():
        members = Job.objects.filter(batch=batch).values_list("pk", flat=True)
        assert {row["work"] for row in rows} == {str(pk) for pk in members}
        undoing = Job.objects.get(pk=rows[0]["job"])
        assert undoing.meta == {"compensates": f"batch:{batch.pk}"}


def test_members_of_a_completed_batch_are_not(acme: Tenant, payments: Payments, proceed: Proceed) -> None:
    batch = charge_all(acme, payments, "a1", "a2")
    proceed()
    assert states(batch) == []
    assert payments.charged("a") == {"a1", "a2"}
    assert payments.requests["/refunds"] == 0


def test_only_members_that_have_started_are_undone_after_a_cancellation(
    acme: Tenant, payments: Payments, proceed: Proceed, run: Run
) -> None:
    batch = charge_all(acme, payments, "a1", "a2", "a3")
    with all_tenants():
        first = Job.objects.filter(batch=batch).earliest("pk")
    with all_tenants():
        Job.objects.filter(batch=batch).exclude(pk=first.pk).update(state="available")
    run(first)
    with tenant_context(acme):
        cancel_batch(batch_id=batch.pk, reason="no stock")
    proceed()
    assert states(batch) == ["compensated"]
    assert payments.charged("a") == set()


def test_failed_compensation_needs_attention_until_it_is_retried_or_settled(
    acme: Tenant, payments: Payments, proceed: Proceed
) -> None:
    batch = charge_all(acme, payments, "a1", "declined", compensation=refund(payments, "/charges", max_retries=0))
    proceed()
    assert states(batch) == ["needs_attention"] * 2
    with all_tenants():
        first, second = Compensation.objects.order_by("pk")
        assert "400" in first.error or first.error
    with tenant_context(acme):
        with pytest.raises(ReasonRequiredError):
            settle_compensation(compensation_id=first.pk, reason="")
        settle_compensation(compensation_id=first.pk, reason="refunded by phone")
        with pytest.raises(CompensationNotOpenError):
            settle_compensation(compensation_id=first.pk, reason="again")
        Compensation.objects.filter(pk=second.pk).update(kind="noop")
        retry_compensation(compensation_id=second.pk)
    proceed()
    assert sorted(states(batch)) == ["compensated", "settled"]
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="compensation.settled")
        assert (entry.reason, entry.after) == ("refunded by phone", {"state": "settled"})


def test_compensation_that_would_be_refused_refuses_the_batch(acme: Tenant, payments: Payments) -> None:
    undo = refund(payments)
    with pytest.raises(PayloadInvalidError):
        charge_all(acme, payments, "a1", compensation=type(undo)("http_call", {"method": "POST"}))
    with all_tenants():
        assert not Job.objects.exists()


def test_reconciliation_lists_what_differs(acme: Tenant, payments: Payments, proceed: Proceed, run: Run) -> None:
    charge_all(acme, payments, "a1", "a2")
    charge_all(acme, payments, "b1", "declined")
    proceed()
    (lost, *_) = [key for key, order in payments.order_of.items() if order == "a1"]
    del payments.order_of[lost]
    payments.order_of["a stranger's"] = "x"
    payload = {"url": f"{payments.url}/keys", "kind": "http_call"}
    (job,) = submit(acme, kind="reconciliation", payload=payload)
    result = run(job).result
    assert reload(job).state == "completed", reload(job).error_message
    # The two refunds are jobs of the kind, too, which this service does not list.
    assert lost in result["keys"]["missing_outside"]
    assert result["differences"] == {
        "missing_outside": 3,
        "undone_outside": 0,
        "not_undone": 0,
        "unknown_here": 1,
    }
