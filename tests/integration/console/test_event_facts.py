"""Event data about the fair order, shown in full only with access to all tenants."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from scheduling.console.tags import event_facts, told_facts
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant

DATA = {"number": 1, "start_tag": 5, "runner_up_start_tag": 9, "queue_vruntime": 7, "position": 2, "size": 50}


@pytest.mark.django_db
def test_event_data_hides_other_tenants_from_a_tenant(acme: Tenant) -> None:
    with tenant_context(acme):
        assert told_facts(DATA) == {"number": 1, "start_tag": 5}
        assert event_facts(SimpleNamespace(data=DATA)) == "number 1"
    with all_tenants():
        assert told_facts(DATA) == DATA
        assert event_facts(SimpleNamespace(data=DATA)) == "number 1, position 2, size 50"


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["least_virtual_time", "only_candidate"])
def test_dispatch_reason_is_hidden_from_tenants_unless_given_by_a_person(acme: Tenant, reason: str) -> None:
    decision = {"start_tag": 5, "level": "queue", "reason": reason, "key_runner_up_start_tag": 3}
    with tenant_context(acme):
        assert told_facts(decision) == {"start_tag": 5}
        assert told_facts({"reason": "not needed"}) == {"reason": "not needed"}
    with all_tenants():
        assert told_facts(decision) == decision
