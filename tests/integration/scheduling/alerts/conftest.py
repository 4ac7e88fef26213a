"""Fixtures of alerts: no shipped rules."""

from __future__ import annotations

import pytest

from scheduling.models import AlertRule
from tenants.context import all_tenants
from tests.integration.scheduling.alerts.helpers import Turns


@pytest.fixture
def turns(db: None) -> Turns:
    """Return evaluations without the shipped rules."""
    with all_tenants():
        AlertRule.objects.all().delete()
    return Turns()
