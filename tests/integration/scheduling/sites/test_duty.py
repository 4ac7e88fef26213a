"""Renewal of the epoch, and what a site that may not renew does not start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from scheduling.execution.start import start_executions
from scheduling.models import Job, LiveExecution, Site
from scheduling.sites.duty import SiteWatch, guard_site
from scheduling.sites.exceptions import SiteUnguardedError
from scheduling.sites.rules import HOLD_SECONDS, Claim
from scheduling.sites.witness import open_witness, read_claim, write_claim
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, in_flight, submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout", "worker")]


@pytest.fixture
def address(tmp_path: Path, change_platform_settings: ChangePlatformSettings) -> str:
    """Return the address of the witness of this process, the site a."""
    address = f"file://{tmp_path}/site"
    change_platform_settings(SITE_WITNESS=address, SITE_NAME="a")
    return address


def site() -> Site:
    with all_tenants():
        return Site.objects.get()


def seconds_left() -> float:
    with all_tenants():
        until = site().starts_until
        assert until is not None
        return (until - read_moment()).total_seconds()


def be_due() -> None:
    """Let the last renewal be old enough for another one."""
    with all_tenants():
        Site.objects.update(renewed_at=Now() - timedelta(seconds=5))


def expire() -> None:
    with all_tenants():
        Site.objects.update(starts_until=Now() - timedelta(milliseconds=1))


def test_first_renewal_takes_the_first_epoch(address: str) -> None:
    guard_site()
    assert seconds_left() <= 0
    SiteWatch().take_turn()
    assert site().claim == read_claim(open_witness(address)).claim == Claim("a", 1)
    assert 0 < seconds_left() <= HOLD_SECONDS


def test_renewal_moves_the_end_and_keeps_the_epoch(address: str) -> None:
    guard_site()
    SiteWatch().take_turn()
    first = Path(address.removeprefix("file://")).read_text()
    SiteWatch().take_turn()
    assert Path(address.removeprefix("file://")).read_text() == first
    expire()
    be_due()
    SiteWatch().take_turn()
    assert site().claim == Claim("a", 1)
    assert seconds_left() > 0


def test_higher_epoch_holds_the_site_at_once(address: str) -> None:
    guard_site()
    watch = SiteWatch()
    watch.take_turn()
    witness = open_witness(address)
    write_claim(witness, Claim("b", 2), read_claim(witness).tag)
    be_due()
    watch.take_turn()
    assert seconds_left() <= 0
    assert "site b has the epoch 2" in site().fault
    assert watch.interval_seconds() < 4
    assert read_claim(witness).claim == Claim("b", 2)


def test_witness_that_does_not_answer_lets_the_site_start_until_its_end(address: str) -> None:
    guard_site()
    watch = SiteWatch()
    watch.take_turn()
    Path(address.removeprefix("file://")).write_text("no claim")
    be_due()
    watch.take_turn()
    assert 0 < seconds_left() <= HOLD_SECONDS
    assert "no claim" in site().fault


def test_renewal_after_a_promotion_of_the_row_changes_nothing(address: str) -> None:
    guard_site()
    SiteWatch().take_turn()
    be_due()
    with all_tenants():
        Site.objects.update(name="b", epoch=2)
    SiteWatch().take_turn()
    assert site().claim == Claim("b", 2)
    assert "belongs to the site b" in site().fault


def test_held_site_claims_nothing_until_it_renews(acme: Tenant, tick: Tick, address: str) -> None:
    submit(acme)
    guard_site()
    assert not tick().was_led
    assert in_flight() == []
    SiteWatch().take_turn()
    assert tick().dispatched == 1


def test_held_site_begins_no_dispatched_job(acme: Tenant, tick: Tick, start: Start, address: str) -> None:
    guard_site()
    SiteWatch().take_turn()
    (job,) = submit(acme)
    tick()
    expire()
    assert start(job.pk) is None
    be_due()
    SiteWatch().take_turn()
    assert begin(start, job).job_id == job.pk


def test_held_site_begins_no_merged_message(acme: Tenant, tick: Tick, address: str) -> None:
    guard_site()
    SiteWatch().take_turn()
    submit(acme, 3)
    tick()
    with all_tenants():
        live = list(LiveExecution.objects.order_by("id"))
    expire()
    ids, tokens = [one.pk for one in live], {one.token for one in live}
    for token in tokens:
        assert start_executions(execution_ids=ids, token=token, worker_id=uuid7()) == []
    with all_tenants():
        assert set(Job.objects.values_list("state", flat=True)) == {"dispatched"}


def test_site_without_a_witness_has_no_row(acme: Tenant, tick: Tick) -> None:
    guard_site()
    SiteWatch().take_turn()
    with all_tenants():
        assert not Site.objects.exists()
    submit(acme)
    assert tick().dispatched == 1


def test_dispatcher_without_the_witness_of_its_database_does_not_start(
    address: str, change_platform_settings: ChangePlatformSettings
) -> None:
    guard_site()
    change_platform_settings(SITE_WITNESS="")
    with pytest.raises(SiteUnguardedError):
        guard_site()
    with pytest.raises(CommandError, match="site_unguarded"):
        call_command("dispatch_jobs", skip_checks=True)
