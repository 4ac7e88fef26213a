"""The example workflows run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.workloads.workflows.conftest import Runs
from tests.model_server import ModelServer
from workloads.documents.service import create_dataset
from workloads.workflows.models import Approval
from workloads.workflows.runs import decide_approval

pytestmark = pytest.mark.django_db(transaction=True)


def example(name: str) -> Any:
    return json.loads((Path(settings.BASE_DIR) / "examples" / "workflows" / f"{name}.json").read_text())


def test_question_to_an_empty_dataset_has_no_passages(runs: Runs, acme: Tenant) -> None:
    dataset = create_dataset(tenant=acme, name="handbook")
    asked = {"question": "why?", "dataset": str(dataset.pk)}
    job = runs.run(acme, example("answer_from_knowledge"), asked)
    assert job.result["outputs"] == {"answer": "Nothing is known about “why?”.", "passages": []}


def test_orders_are_released_or_held_without_a_model(runs: Runs, acme: Tenant) -> None:
    orders = [{"id": "A1", "total": 90}, {"id": "A2", "total": 4711}]
    job = runs.run(acme, example("release_orders"), {"orders": orders})
    assert job.result["outputs"] == {"decisions": ["A1: released", "A2: held"], "text": "A1: released\nA2: held"}
    job = runs.run(acme, example("release_orders"), {"orders": [], "limit": 1})
    assert job.result["outputs"] == {"decisions": [], "text": "No orders."}


def test_many_texts_are_summarised_and_failing_ones_left_out(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    model.fail_next(400)
    job = runs.run(acme, example("summarise_many"), {"texts": ["one", "two", "three"]})
    outputs = job.result["outputs"]
    assert (len(outputs["summaries"]), outputs["left_out"]) == (3, 1)
    assert "(left out)" in outputs["together"]


@pytest.mark.parametrize(("is_approved", "status"), [(True, "Published."), (False, "Not published: no")])
def test_announcement_waits_for_its_editor(
    runs: Runs, acme: Tenant, model: ModelServer, is_approved: bool, status: str
) -> None:
    definition = example("publish_with_approval")
    for one in definition["nodes"]:
        if one["id"] == "pause":
            one["config"]["seconds"] = 0.1
    job = runs.run(acme, definition, {"topic": "tea"})
    assert job.state == "suspended"
    with tenant_context(acme):
        decide_approval(approval_id=Approval.objects.get().pk, is_approved=is_approved, comment="no")
    job = runs.go(job)
    assert job.result["outputs"]["status"] == status
