"""Reused results: an equal job of the same tenant is answered without running its processor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from scheduling.jobs.result_cache.service import cache_key
from scheduling.kit.base import Complete, JobContext, Yielded
from scheduling.models import Job, JobLog, ResultCacheEntry
from scheduling.upkeep.retention.platform_rows import prune_platform_rows
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.signals import cache_asked
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Run, Scripted, raising

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let results of the kind `scripted` be reused for a minute."""
    monkeypatch.setattr(Scripted, "result_kept_seconds", 60.0)


@pytest.fixture
def computed(set_processor: Follow) -> list[Any]:
    """Return the payloads that were processed."""
    worked_on: list[Any] = []

    def process(context: JobContext) -> dict[str, Any]:
        worked_on.append(dict(context.payload))
        return {"doubled": 2 * context.payload["number"]}

    set_processor(process)
    return worked_on


@pytest.fixture
def asked() -> Iterator[Counter[str]]:
    """Return how often results were looked up, by outcome."""
    places: Counter[str] = Counter()

    def note(sender: object, *, cache: str, place: str, count: int, **_: object) -> None:
        if cache == "results":
            places[place] += count

    cache_asked.connect(note)
    yield places
    cache_asked.disconnect(note)


def run_one(run: Run, tenant: Tenant, payload: dict[str, Any]) -> Job:
    (job,) = submit(tenant, kind="scripted", payload=payload)
    return run(job)


def test_equal_job_reuses_the_result(acme: Tenant, run: Run, computed: list[Any], asked: Counter[str]) -> None:
    first = run_one(run, acme, {"number": 1, "name": "a"})
    again = run_one(run, acme, {"name": "a", "number": 1})
    other = run_one(run, acme, {"number": 2, "name": "a"})
    assert [job.state for job in (first, again, other)] == ["completed"] * 3
    assert [job.result for job in (first, again, other)] == [{"doubled": 2}, {"doubled": 2}, {"doubled": 4}]
    assert computed == [{"number": 1, "name": "a"}, {"number": 2, "name": "a"}]
    assert asked == {"computed": 2, "reused": 1}
    with tenant_context(acme):
        line = JobLog.objects.get(job_id=again.pk)
    assert (line.message, line.fields) == ("result_reused", {"job": str(first.pk)})


def test_result_is_not_reused_for_another_tenant(acme: Tenant, globex: Tenant, run: Run, computed: list[Any]) -> None:
    for tenant in (acme, globex):
        run_one(run, tenant, {"number": 1})
    assert len(computed) == 2


def test_result_of_another_version_is_not_reused(
    acme: Tenant, run: Run, computed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_one(run, acme, {"number": 1})
    monkeypatch.setattr(Scripted, "result_version", "2")
    run_one(run, acme, {"number": 1})
    assert len(computed) == 2


def test_expired_or_orphaned_result_is_computed_and_stored_again(acme: Tenant, run: Run, computed: list[Any]) -> None:
    job = run_one(run, acme, {"number": 1})
    with all_tenants():
        ResultCacheEntry.objects.update(expires_at=Now() - timedelta(seconds=1))
    newer = run_one(run, acme, {"number": 1})
    with all_tenants():
        assert ResultCacheEntry.objects.get().job_id == newer.pk != job.pk
        Job.objects.filter(pk=newer.pk).update(state="discarded")
    run_one(run, acme, {"number": 1})
    assert len(computed) == 3


@pytest.mark.parametrize("answer", [raising(ValueError("no")), lambda context: Yielded({"page": 1})])
def test_only_completed_results_are_stored(
    acme: Tenant, run: Run, set_processor: Follow, answer: Callable[..., object]
) -> None:
    set_processor(answer)
    run_one(run, acme, {"number": 1})
    with all_tenants():
        assert not ResultCacheEntry.objects.exists()


def test_result_of_an_error_handler_is_not_stored(acme: Tenant, run: Run, set_processor: Follow) -> None:
    set_processor(lambda context: {"text": "x" * 70_000}, lambda context, error: Complete({"cut": True}))
    job = run_one(run, acme, {"number": 1})
    assert (job.state, job.result) == ("completed", {"cut": True})
    with all_tenants():
        assert not ResultCacheEntry.objects.exists()


def test_started_job_does_not_reuse_a_later_result(acme: Tenant, run: Run, set_processor: Follow) -> None:
    set_processor(lambda context: {"from": "another"})
    run_one(run, acme, {"number": 2})
    set_processor(lambda context: Yielded({"page": 1}))
    begun = run_one(run, acme, {"number": 1})
    with all_tenants():
        key = cache_key(Scripted, tenant_id=acme.pk, payload={"number": 1}, settings={})
        assert ResultCacheEntry.objects.update(id=key) == 1
    set_processor(lambda context: {"from": context.state})
    done = run(begun)
    assert (done.state, done.result) == ("completed", {"from": {"page": 1}})


def test_kind_without_reuse_looks_up_nothing(
    acme: Tenant, run: Run, computed: list[Any], asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "result_kept_seconds", 0.0)
    for _ in range(2):
        run_one(run, acme, {"number": 1})
    assert (len(computed), asked) == (2, {})
    with all_tenants():
        assert not ResultCacheEntry.objects.exists()


def test_expired_results_are_removed_by_upkeep(acme: Tenant, run: Run, computed: list[Any]) -> None:
    for number in (1, 2):
        run_one(run, acme, {"number": number})
    with all_tenants():
        ResultCacheEntry.objects.filter(pk=ResultCacheEntry.objects.first().pk).update(
            expires_at=Now() - timedelta(seconds=1)
        )
    assert prune_platform_rows(limit=10)["cached_results"] == 1
    with all_tenants():
        assert ResultCacheEntry.objects.count() == 1
