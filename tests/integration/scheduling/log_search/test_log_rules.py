"""Alert rules on log lines: the same searches, counted over five minutes, in the scope of the rule's tenant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from scheduling.alerts.backtest import BacktestVerdict
from scheduling.alerts.rule_config import RULES, preview_rule
from scheduling.alerts.rules import matches
from scheduling.log_search.measures import QueryReader
from scheduling.models import AlertRule
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.log_search.conftest import Log

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
VALUES = {"measure": "log_matches", "per": "query", "comparison": "ge", "threshold": 2}


def rule_of(tenant: Tenant, text: str, **changes: Any) -> AlertRule:
    with tenant_context(tenant):
        return RULES.save(AlertRule(), {**VALUES, "name": text, "log_query": text, "confirm": True, **changes})


def values_of(rule: AlertRule) -> list[float]:
    """Return the values that the rule compares."""
    with all_tenants():
        now = read_clock()
    return [sample.value for sample in QueryReader().read(now) if matches(rule, sample)]


def test_rule_counts_the_lines_of_its_tenant(acme: Tenant, globex: Tenant, log: Log, index: Callable[[], int]) -> None:
    (job,), (foreign,) = submit(acme), submit(globex)
    own, same, other = rule_of(acme, "refused"), rule_of(globex, "refused"), rule_of(acme, "kind:noop -refused")
    log(job, "connection refused", "connection refused again", "fine")
    log(foreign, "refused")
    index()
    log(job, "refused a third time")
    assert (values_of(own), values_of(same), values_of(other)) == ([3.0], [1.0], [1.0])
    with all_tenants():
        platform = RULES.save(AlertRule(), {**VALUES, "name": "all", "log_query": "refused", "confirm": True})
    assert values_of(platform) == [4.0]
    assert values_of(rule_of(acme, "absent")) == []


@pytest.mark.parametrize(
    "changes",
    [{"log_query": ""}, {"log_query": 'open "quote'}, {"only_kind": "noop"}, {"measure": "new_cause", "per": "cause"}],
)
def test_useless_query_is_refused(acme: Tenant, changes: dict[str, Any]) -> None:
    with pytest.raises(FieldInvalidError) as refusal:
        rule_of(acme, "refused", **changes)
    assert "log_query" in str(refusal.value)


@pytest.mark.usefixtures("sealing")
def test_sealed_lines_are_counted_by_whole_words_only(acme: Tenant, log: Log) -> None:
    (job,) = submit(acme)
    rule = rule_of(acme, "refused")
    log(job, "connection refused")
    assert values_of(rule) == [1.0]
    for text in ('"connection refused"', "refu*"):
        with pytest.raises(FieldInvalidError, match="encrypted"):
            rule_of(acme, text)
    with all_tenants(), pytest.raises(FieldInvalidError, match="Name one"):
        RULES.save(AlertRule(), {**VALUES, "name": "all", "log_query": "refused", "confirm": True})


def test_backtest_replays_the_log(acme: Tenant, globex: Tenant, log: Log) -> None:
    with tenant_context(acme):
        assert preview_rule({**VALUES, "log_query": "refused"}).verdict == BacktestVerdict.UNKNOWN
    (job,), (foreign,) = submit(acme), submit(globex)
    log(job, "refused", "refused", "refused")
    log(foreign, "refused")
    with tenant_context(acme):
        found = preview_rule({**VALUES, "log_query": "refused"})
        assert (found.count, found.spans[0].peak) == (1, 3.0)
        assert preview_rule({**VALUES, "log_query": "absent"}).count == 0
    with tenant_context(globex):
        assert preview_rule({**VALUES, "log_query": "refused"}).count == 0
    with all_tenants():
        assert found.since is not None
        assert read_clock() - found.since < timedelta(minutes=1)


def test_search_leads_to_the_form_of_a_rule(client: Client, acme_user: User, acme: Tenant) -> None:
    client.force_login(acme_user)
    page = client.get("/admin/logs/", {"q": "refused level:error"}).content.decode()
    values = {"measure": "log_matches", "per": "query", "threshold": "1", "log_query": "refused level:error"}
    assert f"/admin/scheduling/alertrule/add/?{urlencode(values)}" in unescape(page)
    form = client.get("/admin/scheduling/alertrule/add/", values).content.decode()
    assert 'value="refused level:error"' in form
