"""The panel of shares: lag, and the oldest wait of each tenant."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from scheduling.models import TenantGauge, Worker
from scheduling.overview.queries import read_shares
from scheduling.statistics.gauges import sample_gauges
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.console.admin_actions import Console
from tests.integration.console.conftest import Work
from tests.integration.console.shares import demand, sample_after

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def words_of(console: Console, user: User) -> str:
    page = console(user).get(reverse("admin:overview_shares")).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_lag_and_oldest_wait_stand_beside_the_share(
    console: Console, staff: User, acme: Tenant, globex: Tenant, live_worker: Worker
) -> None:
    with all_tenants():
        demand(acme, weight=2, vruntime=0)
        demand(globex, weight=1, vruntime=3_000_000_000)
        assert sample_after(30) >= 2
        sample_gauges()
        assert TenantGauge.objects.filter(tenant=acme).update(oldest_at=timezone.now() - timedelta(seconds=90))
        lines = {line.tenant_id: line for line in read_shares().history.lines}
    assert {key: line.lag_us for key, line in lines.items()} == {acme.pk: 2_000_000, globex.pk: -2_000_000}
    assert lines[acme.pk].standing.oldest_seconds == pytest.approx(90, abs=5)
    words = words_of(console, staff)
    assert "▼ 2.0 s behind" in words
    assert "▲ 2.0 s ahead" in words
    assert "oldest wait 1 min" in words


def test_member_sees_its_own_wait_and_no_lags(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work, live_worker: Worker
) -> None:
    sample_gauges()
    with tenant_context(acme_work.tenant):
        [line] = read_shares().history.lines
    assert (line.tenant_id, line.lag_us, line.entitled) == (acme_work.tenant.pk, None, [])
    assert "behind" not in words_of(console, acme_user)
