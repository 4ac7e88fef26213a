"""What an event says of the fair order is told in full to those alone who see all tenants."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from scheduling.console.tags import event_facts, told_facts
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


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["least_virtual_time", "only_candidate"])
def test_a_tenant_is_told_no_reason_of_a_pick_but_that_which_somebody_gave(acme: Tenant, reason: str) -> None:
    decision = {"start_tag": 5, "level": "queue", "reason": reason, "key_runner_up_start_tag": 3}
    with tenant_context(acme):
        assert told_facts(decision) == {"start_tag": 5}
        assert told_facts({"reason": "not needed"}) == {"reason": "not needed"}
    with all_tenants():
        assert told_facts(decision) == decision
