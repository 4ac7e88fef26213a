"""A log-in with an account for emergencies is audited, and measured for its alert."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from scheduling.alerts.measures import measure_of
from scheduling.models import AlertRule
from tenants.context import all_tenants
from tests.conftest import PASSWORD
from tests.platform_settings import override_platform_settings

pytestmark = pytest.mark.django_db


def measured(minutes: int = 0) -> list[float]:
    with all_tenants():
        return [sample.value for sample in measure_of("break_glass").read(timezone.now() + timedelta(minutes=minutes))]


def test_log_in_of_an_account_for_emergencies_is_measured_for_a_time(acme_user: User, globex_user: User) -> None:
    with override_platform_settings(BREAK_GLASS_ACCOUNTS=["alice"]):
        Client().post("/admin/login/", {"username": globex_user.username, "password": PASSWORD})
        assert measured() == []
        Client().post("/admin/login/", {"username": "alice", "password": PASSWORD})
        assert measured() == [1.0]
        assert measured(minutes=16) == []


def test_shipped_rule_fires_for_each_log_in(db: None) -> None:
    with all_tenants():
        rule = AlertRule.objects.get(measure="break_glass")
    assert (rule.comparison, rule.threshold, rule.severity, rule.is_enabled) == ("ge", 1, "critical", True)
