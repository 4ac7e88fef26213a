"""Regions of datasets: set within those of the tenant, and followed by the jobs that index documents."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job, JobSubject, RegionLabel, WorkerPool
from scheduling.regions import labels
from scheduling.regions.exceptions import RegionNotAllowedError
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tenants.tenancy.service import update_tenant
from tests.integration.api.test_access import assert_problem
from tests.integration.workloads.documents.indexing.conftest import upload
from workloads.documents.models import Dataset
from workloads.documents.service import delete_dataset, update_dataset

pytestmark = pytest.mark.django_db
URL = "/api/v1/datasets/"


@pytest.fixture(autouse=True)
def _labels_change_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "CHANGE_SECONDS", 0.0)


@pytest.fixture
def eu(worker: object) -> WorkerPool:
    """Return a pool in the region eu to which indexing is routed; the other pool has no region."""
    pool = create_worker_pool(name="eu-pool", values={"region": "eu"})
    targets = {create_queue(name="eu-queue", pool="eu-pool").pk: 1}
    with all_tenants():
        targets[create_queue(name="home-queue", pool=WorkerPool.objects.exclude(pk=pool.pk).earliest("pk").name).pk] = 1
    rule = {"position": 1, "kind": "document_indexing", "balance": "weighted"}
    create_routing_rule(values=rule, targets=targets)
    return pool


def change(tenant: Tenant, dataset: Dataset, *allowed: str, home: str = "") -> Dataset:
    with tenant_context(tenant):
        return update_dataset(dataset=dataset, allowed_regions=list(allowed), home_region=home)


def test_upload_goes_to_a_region_of_the_dataset(acme: Tenant, dataset: Dataset, eu: WorkerPool) -> None:
    change(acme, dataset, "eu")
    upload(dataset, **{f"{number}_txt": b"text %d" % number for number in range(6)})
    with all_tenants():
        assert set(Job.objects.values_list("queue__name", flat=True)) == {"eu-queue"}
        assert set(JobSubject.objects.values_list("subject", flat=True)) == {dataset.pk}
        assert JobSubject.objects.count() == 6


def test_upload_without_a_queue_in_a_region_of_the_dataset_is_refused(
    acme: Tenant, dataset: Dataset, eu: WorkerPool
) -> None:
    change(acme, dataset, "us")
    with pytest.raises(RegionNotAllowedError, match="us"):
        upload(dataset, a_txt=b"text")


def test_job_submitted_by_hand_finds_its_dataset(acme: Tenant, dataset: Dataset, eu: WorkerPool) -> None:
    upload(dataset, a_txt=b"text")
    with all_tenants():
        (payload,) = Job.objects.values_list("payload", flat=True)
    change(acme, dataset, "us")
    with pytest.raises(RegionNotAllowedError):
        submit_job(tenant=acme, request=JobRequest("document_indexing", payload))


@pytest.mark.parametrize("named", ["no-id", "", 5, None, ["x"]])
def test_payload_that_names_no_document_is_refused_as_before(
    acme_api: APIClient, eu: WorkerPool, named: object
) -> None:
    body = {"kind": "document_indexing", "payload": {"document_id": named}}
    assert_problem(acme_api.post("/api/v1/jobs/", body, format="json"), 422, "payload_invalid")


def test_regions_must_be_among_those_of_the_tenant(acme: Tenant, dataset: Dataset) -> None:
    update_tenant(tenant=acme, changes={"allowed_regions": ["eu", "us"]})
    with pytest.raises(FieldInvalidError, match="allowed_regions: The tenant does not allow the regions asia"):
        change(acme, dataset, "eu", "asia")
    with pytest.raises(FieldInvalidError, match="home_region"):
        change(acme, dataset, home="asia")
    with pytest.raises(FieldInvalidError, match="home region us"):
        change(acme, dataset, "eu", home="us")
    assert change(acme, dataset, "eu", home="eu").allowed_regions == ["eu"]


def test_regions_are_set_over_the_api_and_audited(acme: Tenant, acme_api: APIClient) -> None:
    made = acme_api.post(URL, {"name": "near", "allowed_regions": ["eu"]}, format="json")
    assert (made.status_code, made.json()["allowed_regions"]) == (201, ["eu"])
    url = f"{URL}{made.json()['id']}/"
    changed = acme_api.patch(url, {"home_region": "eu", "allowed_regions": ["eu", "us"]}, format="json")
    assert (changed.json()["home_region"], changed.json()["allowed_regions"]) == ("eu", ["eu", "us"])
    assert_problem(acme_api.patch(url, {"allowed_regions": ["E U"]}, format="json"), 422, "settings_invalid")
    assert_problem(acme_api.patch(url, {"allowed_regions": ["eu", "eu"]}, format="json"), 422, "field_invalid")
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="dataset.updated")
        assert RegionLabel.objects.get().allowed_regions == ["eu", "us"]
    assert entry.before["allowed_regions"] == ["eu"]
    assert entry.after["allowed_regions"] == ["eu", "us"]


def test_label_goes_with_the_dataset(acme: Tenant, dataset: Dataset) -> None:
    change(acme, dataset, "eu")
    with tenant_context(acme):
        delete_dataset(dataset_id=dataset.pk)
    with all_tenants():
        assert not RegionLabel.objects.exists()
