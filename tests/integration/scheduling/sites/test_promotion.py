"""Promotion of a site, and the comparison with the old database."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models.functions import Now

from scheduling.diagnosis.service import Health, diagnose
from scheduling.models import Site
from scheduling.sites import service
from scheduling.sites.duty import SiteWatch, guard_site
from scheduling.sites.exceptions import WitnessError
from scheduling.sites.queries import find_site_fault, read_replication
from scheduling.sites.rules import HOLD_SECONDS, Claim
from scheduling.sites.service import plan_promotion, promote
from scheduling.sites.witness import open_witness, read_claim
from tenants.context import all_tenants
from tenants.database.conf import APP_ALIAS
from tenants.models import AuditLogEntry, Tenant
from tests.databases import app_url
from tests.integration.scheduling.job_helpers import Tick, submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the times that a promotion would wait, and let it not wait."""
    waited: list[float] = []
    monkeypatch.setattr(service.time, "sleep", waited.append)
    return waited


@pytest.fixture
def address(tmp_path: Path, change_platform_settings: ChangePlatformSettings) -> str:
    """Return the address of the witness, at which the site north has the first epoch."""
    address = f"file://{tmp_path}/site"
    change_platform_settings(SITE_WITNESS=address, SITE_NAME="north")
    guard_site()
    SiteWatch().take_turn()
    return address


def site() -> Site:
    with all_tenants():
        return Site.objects.get()


def test_promotion_takes_the_next_epoch_after_the_old_site_cannot_start_anything(
    address: str, waits: list[float], change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(SITE_NAME="south")
    SiteWatch().take_turn()
    assert plan_promotion().wait_seconds == HOLD_SECONDS
    made = promote()
    assert waits == [HOLD_SECONDS]
    assert made.claim == site().claim == read_claim(open_witness(address)).claim == Claim("south", 2)
    with all_tenants():
        assert find_site_fault()[0]
        entry = AuditLogEntry.objects.get(action="site.promoted")
    assert entry.after["epoch"] == 2
    SiteWatch().take_turn()
    with all_tenants():
        assert find_site_fault() == (False, "")
        assert Site.objects.get().claim == Claim("south", 2)


def test_old_site_is_held_after_the_promotion(
    address: str, waits: list[float], change_platform_settings: ChangePlatformSettings
) -> None:
    old = site()
    change_platform_settings(SITE_NAME="south")
    promote(is_old_stopped=True)
    assert waits == []
    # Its own database, as it was.
    with all_tenants():
        Site.objects.update(name=old.name, epoch=old.epoch, renewed_at=Now() - timedelta(minutes=1))
    change_platform_settings(SITE_NAME="north")
    SiteWatch().take_turn()
    with all_tenants():
        assert find_site_fault() == (True, "The site south has the epoch 2 at the witness.")
    (check,) = (check for check in diagnose().checks if check.code == "site")
    assert check.state is Health.FAILURE


def test_promotion_without_a_witness_ends_the_guard(
    address: str, acme: Tenant, tick: Tick, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(SITE_WITNESS="")
    promote()
    guard_site()
    assert site().starts_until is None
    assert tick().was_led


def test_dry_run_changes_nothing(address: str, change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(SITE_NAME="south")
    printed = StringIO()
    call_command("promote", "--dry-run", "--json", stdout=printed)
    assert json.loads(printed.getvalue()) == {
        "site": "south",
        "epoch": 2,
        "wait_seconds": HOLD_SECONDS,
        "lost_after": None,
        "lag_seconds": None,
    }
    assert site().claim == read_claim(open_witness(address)).claim == Claim("north", 1)


def test_promotion_without_its_witness_changes_nothing(
    address: str, change_platform_settings: ChangePlatformSettings
) -> None:
    Path(address.removeprefix("file://")).write_text("no claim")
    with pytest.raises(WitnessError):
        promote()
    with pytest.raises(CommandError, match="witness_unusable"):
        call_command("promote")
    assert site().claim == Claim("north", 1)


def test_database_that_accepts_writes_is_no_standby(address: str) -> None:
    with all_tenants():
        found = read_replication()
    assert (found.is_standby, found.replayed_at, found.lag_seconds) == (False, None, None)


def test_same_database_has_lost_nothing(acme: Tenant, address: str) -> None:
    submit(acme, 3)
    connections[APP_ALIAS].close()
    printed = StringIO()
    call_command("compare_sites", f"--old={app_url()}", "--minutes=5", "--json", stdout=printed)
    assert json.loads(printed.getvalue()) == []


def test_comparison_before_a_promotion_or_without_the_old_database_is_refused(address: str) -> None:
    with pytest.raises(CommandError, match="give --minutes"):
        call_command("compare_sites", f"--old={app_url()}")
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("compare_sites", "--old=postgresql://stranger@127.0.0.1:9/jobs", "--minutes=5")
