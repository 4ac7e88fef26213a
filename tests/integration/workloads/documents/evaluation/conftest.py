"""A dataset with documents, and helpers that evaluate it in the test's own process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from scheduling.kit.base import Outcome
from scheduling.kit.testing import RecordingRuntime, make_context
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.workloads.documents.conftest import add_document
from workloads.documents.evaluation.models import Evaluation
from workloads.documents.evaluation.processor import DatasetEvaluation
from workloads.documents.evaluation.service import start_evaluation
from workloads.documents.models import Dataset
from workloads.documents.service import create_dataset

TEXTS = {
    "cats.txt": "A cat sleeps on the warm sofa and dreams of mice.",
    "rates.txt": "The central bank raised its interest rate by half a point.",
    "invoice.txt": "Invoice number XK-4711 is due at the end of the month.",
    "部署.txt": "部署新版本时，工作进程会先完成手头的任务再退出。",
}
QUESTIONS = """question,document
Where does the cat rest?,cats.txt
XK-4711,invoice.txt
工作进程如何退出？,部署.txt
What did the central bank do?,cats.txt
What did the central bank do?,rates.txt
Is there a zeppelin?,rates.txt
""".encode()


@pytest.fixture
def library(acme: Tenant) -> Dataset:
    library = create_dataset(tenant=acme, name="library")
    for name, text in TEXTS.items():
        add_document(library, name, text)
    return library


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(globex)


def run(tenant_id: UUID, evaluation_id: Any, **runtime: Any) -> Outcome:
    """Run the job of an evaluation once, with the processor's own statements."""
    context = make_context(
        DatasetEvaluation, {"evaluation_id": str(evaluation_id)}, runtime=RecordingRuntime(**runtime)
    )
    with tenant_context(tenant_id):
        return DatasetEvaluation().process(replace(context, tenant_id=tenant_id))


def evaluate(dataset: Dataset, data: bytes = QUESTIONS, **options: Any) -> Evaluation:
    """Start an evaluation, run its job and return it."""
    with tenant_context(dataset.tenant_id):
        tenant = Tenant.objects.select_related("plan").get(pk=dataset.tenant_id)
        started = start_evaluation(tenant=tenant, dataset=dataset, data=data, **options)
        run(dataset.tenant_id, started.pk)
        evaluation: Evaluation = Evaluation.objects.get(pk=started.pk)
    return evaluation
