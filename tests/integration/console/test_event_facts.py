"""What an event says of the fair order is told in full to those alone who see all tenants."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from scheduling.dashboards.tags import event_facts, told_facts
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant

DATA = {"number": 1, "start_tag": 5, "runner_up_start_tag": 9, "queue_vruntime": 7, "position": 2, "size": 50}


@pytest.mark.django_db
def test_a_tenant_is_told_nothing_of_others(acme: Tenant) -> None:
    with tenant_context(acme):
        assert told_facts(DATA) == {"number": 1, "start_tag": 5}
        assert event_facts(SimpleNamespace(data=DATA)) == "number 1"
    with all_tenants():
        assert told_facts(DATA) == DATA
        assert event_facts(SimpleNamespace(data=DATA)) == "number 1, position 2, size 50"
