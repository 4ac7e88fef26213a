"""Rules that choose by a routing strategy: the reason on the job, and the fallback with its cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from scheduling.conf import MAX_BULK_JOBS
from scheduling.diagnosis.service import Health, diagnose
from scheduling.fleet.queue_consumers import measure_queues
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.routing import strategies
from scheduling.jobs.routing.service import Routes
from scheduling.jobs.routing.strategy_calls import BATCH_SECONDS, CALL_SECONDS, MAX_REASON_CHARACTERS, MOST_LATE
from scheduling.jobs.submission import submit_jobs
from scheduling.models import FairShareNode, Job, JobEvent, Queue, QueueStanding, RoutingRule
from scheduling.topology.service import create_routing_rule, update_routing_rule
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tests.form_data import posted
from tests.integration.scheduling.job_helpers import submit
from tests.plain_values import plain_only
from tests.routing_strategies import install

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]

LONG = {"source": {"pages": 101}}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    strategies.reset()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, east_and_west: tuple[Queue, Queue]) -> Any:
    """Return a function that installs a strategy and adds a rule that chooses by it among the two queues."""

    def install_and_route(name: str) -> RoutingRule:
        install(monkeypatch, name)
        targets = {queue.pk: 1 for queue in east_and_west}
        rule = create_routing_rule(values={"position": 1, "kind": "noop", "balance": name}, targets=targets)
        measure_queues()
        return rule

    return install_and_route


def facts_of(job: Job) -> dict[str, Any]:
    with all_tenants():
        return dict(JobEvent.objects.get(job_id=job.pk, name="job.submitted").data)


def fallbacks(strategy: str, cause: str) -> float:
    labels = {"strategy": strategy, "cause": cause}
    return REGISTRY.get_sample_value("jobsplatform_routing_fallbacks_total", labels) or 0.0


def test_strategy_chooses_the_queue_and_its_reason_is_on_the_job(acme: Tenant, use: Any) -> None:
    use("by_pages")
    (long,), (short,) = submit(acme, payload=LONG), submit(acme)
    assert (long.queue.name, short.queue.name) == ("east", "west")
    assert facts_of(long) == {"strategy": "by_pages", "reason": "long document, team"}
    assert facts_of(short) == {"strategy": "by_pages", "reason": "short document, team"}


def test_jobs_of_one_submission_keep_their_own_reasons(acme: Tenant, use: Any) -> None:
    use("tagged")
    requests = [JobRequest("noop", tags=[tag]) for tag in ("east", "west", "north")]
    requests.append(JobRequest("sleep", {"seconds": 0}))
    jobs = [done.job for _, done in submit_jobs(tenant=acme, requests=requests).accepted]
    assert [job.queue.name for job in jobs[:2]] == ["east", "west"]
    assert [facts_of(job) for job in jobs[:2]] == [
        {"strategy": "tagged", "reason": "tag east"},
        {"strategy": "tagged", "reason": "tag west"},
    ]
    assert facts_of(jobs[2]) == {
        "strategy": "tagged",
        "fallback": "least_loaded",
        "cause": "named_no_queue",
        "reason": "north",
    }
    assert facts_of(jobs[3]) == {}


def test_strategy_sees_the_work_that_it_has_sent(acme: Tenant, globex: Tenant, use: Any) -> None:
    use("shortest")
    with all_tenants():
        east = Queue.objects.get(name="east")
        FairShareNode.objects.create(tenant=globex, queue=east, waiting=40, is_runnable=True, estimate_us=1_000_000)
    measure_queues()
    assert QueueStanding.objects.get(queue=east).work_us == 40_000_000
    assert Counter(job.queue.name for job in submit(acme, 50)) == {"west": 45, "east": 5}


@pytest.mark.parametrize(
    ("name", "cause", "reason"),
    [
        ("raising", "raised_error", "ValueError"),
        ("junk", "named_no_queue", "dict"),
        ("changing", "raised_error", "TypeError"),
    ],
)
def test_bad_strategy_falls_back_to_the_least_loaded_queue(
    acme: Tenant, use: Any, caplog: pytest.LogCaptureFixture, name: str, cause: str, reason: str
) -> None:
    use(name)
    before = fallbacks(name, cause)
    jobs = submit(acme, 20, payload=LONG)
    assert Counter(job.queue.name for job in jobs) == {"east": 10, "west": 10}
    expected = {"strategy": name, "fallback": "least_loaded", "cause": cause, "reason": reason}
    assert facts_of(jobs[-1]) == expected
    assert fallbacks(name, cause) - before == 20
    assert [record.getMessage() for record in caplog.records if record.name.endswith("balancing")] == [
        "routing.fell_back"
    ]
    with tenant_context(acme):
        assert Job.objects.get(pk=jobs[0].pk).payload == LONG


def test_huge_reason_is_cut_to_one_line(acme: Tenant, use: Any) -> None:
    use("garrulous")
    (job,) = submit(acme)
    reason = facts_of(job)["reason"]
    assert reason.startswith("line and é")
    assert len(reason) == MAX_REASON_CHARACTERS


def test_endless_strategy_holds_a_submission_only_for_its_bound(acme: Tenant, use: Any) -> None:
    use("endless")
    jobs = submit(acme, 50)
    causes = Counter(facts_of(job)["cause"] for job in jobs)
    assert causes == {"too_slow": MOST_LATE, "set_aside": 50 - MOST_LATE}


def test_large_submission_calls_a_costly_strategy_only_within_its_time(acme: Tenant, use: Any) -> None:
    use("busy")
    jobs = submit(acme, MAX_BULK_JOBS)
    with all_tenants():
        events = JobEvent.objects.filter(job_id__in=[job.pk for job in jobs], name="job.submitted")
        causes = Counter(event.data.get("cause", "") for event in events)
    # Of two milliseconds each; a few may be late on a busy machine.
    assert 0 < causes[""] <= (BATCH_SECONDS + CALL_SECONDS) / 0.002
    assert causes["batch_too_slow"] + causes["set_aside"] > MAX_BULK_JOBS / 2
    assert sum(causes.values()) == MAX_BULK_JOBS


@plain_only
def test_strategy_costs_no_statement(acme: Tenant, use: Any) -> None:
    use("by_pages")
    submit(acme)
    with CaptureQueriesContext(connection) as few:
        submit(acme, 2)
    with CaptureQueriesContext(connection) as many:
        submit(acme, 200)
    assert len(many) <= len(few)


def test_rule_of_a_removed_strategy_falls_back_and_is_shown_everywhere(
    acme: Tenant, use: Any, monkeypatch: pytest.MonkeyPatch, staff: User, client: Client
) -> None:
    rule = use("by_pages")
    install(monkeypatch)
    (job,) = submit(acme)
    assert facts_of(job) == {"strategy": "by_pages", "fallback": "least_loaded", "cause": "not_installed"}
    (check,) = [check for check in diagnose().checks if check.code == "routing_strategies"]
    assert (check.state, check.measured) == (Health.WARNING, "cannot be used: by_pages (not_installed)")
    client.force_login(staff)
    page = client.get(reverse("admin:scheduling_routingrule_changelist")).content.decode()
    assert "by the strategy by_pages, which cannot be used: the least loaded queue is chosen" in page
    # Its other values can still be changed, in the form and by the service.
    url = reverse("admin:scheduling_routingrule_change", args=[rule.pk])
    data = posted(client.get(url).content.decode()) | {"position": "2"}
    assert client.post(url, data).status_code == 302
    rule.refresh_from_db()
    assert (rule.position, rule.balance) == (2, "by_pages")
    update_routing_rule(rule=rule, changes={"balance": "weighted"})
    with pytest.raises(FieldInvalidError, match="there are: weighted, least_loaded, nearest"):
        update_routing_rule(rule=rule, changes={"balance": "by_pages"})


def test_strategy_is_chosen_in_the_form(
    use: Any, east_and_west: tuple[Queue, Queue], staff: User, client: Client
) -> None:
    rule = use("by_pages")
    update_routing_rule(rule=rule, changes={"balance": "weighted"})
    client.force_login(staff)
    url = reverse("admin:scheduling_routingrule_change", args=[rule.pk])
    page = client.get(url).content.decode()
    assert "Several queues, by the strategy by_pages" in page
    assert client.post(url, posted(page) | {"balance": "by_pages"}).status_code == 302
    rule.refresh_from_db()
    assert rule.balance == "by_pages"
    refused = client.post(url, posted(page) | {"balance": "fastest"})
    assert refused.status_code == 200
    rule.refresh_from_db()
    assert rule.balance == "by_pages"


def test_working_strategies_are_no_line_of_the_diagnosis(use: Any) -> None:
    use("by_pages")
    assert not [check for check in diagnose().checks if check.code == "routing_strategies"]


def test_trial_shows_the_choice_and_stores_nothing(use: Any, staff: User, monkeypatch: pytest.MonkeyPatch) -> None:
    use("by_pages")
    api = APIClient()
    api.force_login(staff)

    def ask(**question: Any) -> Any:
        return api.post(
            "/api/v1/routing-rules/test/", {"kind": "noop", "tier": "team"} | question, format="json"
        ).json()

    answer = ask(payload=LONG)
    assert (answer["queue"], answer["choice"]) == (
        "east",
        {"strategy": "by_pages", "reason": "long document, team", "fallback": "", "cause": ""},
    )
    assert ask(kind="rag_pipeline")["choice"] is None
    install(monkeypatch)
    assert ask()["choice"]["cause"] == "not_installed"
    with all_tenants():
        assert not Job.objects.exists()


def test_rule_is_written_with_a_strategy_over_the_api(use: Any, staff: User) -> None:
    use("by_pages")
    api = APIClient()
    api.force_login(staff)
    url = "/api/v1/routing-rules/"
    rule = {"position": 2, "kind": "noop", "balance": "by_pages", "targets": {"east": 1}}
    assert api.post(url, rule, format="json").json()["balance"] == "by_pages"
    refused = api.post(url, rule | {"position": 3, "balance": "fastest"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, "field_invalid")
    assert "weighted, least_loaded, nearest, by_pages" in refused.json()["errors"][0]["detail"]


def test_tenant_reads_the_reason_in_history_and_console(
    acme: Tenant, acme_user: User, use: Any, client: Client
) -> None:
    use("raising")
    (job,) = submit(acme)
    client.force_login(acme_user)
    page = client.get(reverse("admin:scheduling_job_change", args=[job.pk])).content.decode()
    assert "strategy raising" in page
    assert "cause the strategy raised an error" in page
    api = APIClient()
    api.force_login(acme_user)
    events = api.get(f"/api/v1/jobs/{job.pk}/events/").json()["results"]
    (first,) = [event for event in events if event["name"] == "job.submitted"]
    assert first["data"] == {
        "strategy": "raising",
        "fallback": "least_loaded",
        "cause": "raised_error",
        "reason": "ValueError",
    }


def test_reroute_calls_no_strategy(acme: Tenant, use: Any) -> None:
    use("endless")
    before = fallbacks("endless", "too_slow")
    with all_tenants():
        elsewhere = Queue.objects.get(name="dataset")
        found = Routes.load_all()["team"].better_queue("noop", {}, elsewhere.pk)
    assert found is not None
    assert found.name in {"east", "west"}
    assert fallbacks("endless", "too_slow") == before


def test_reversed_migration_leaves_rules_that_choose_by_load(use: Any) -> None:
    rule = use("by_pages")
    migration = import_module("scheduling.migrations.0038_routing_strategies")
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(migration.FORGET_STRATEGIES)
    rule.refresh_from_db()
    assert rule.balance == "least_loaded"
