"""The event relay: webhooks receive the subscribed events of their tenant's jobs once each, despite crashes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import EventRelay, Job, JobEvent
from scheduling.streams import event_pages
from scheduling.streams.event_feed import read_horizon
from scheduling.subscriptions import relay
from scheduling.subscriptions.registry import JOB_EVENTS
from scheduling.subscriptions.relay import EventRelayer
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tenants.tenancy.service import reinstate_tenant, suspend_tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, fail, submit
from tests.integration.streams.sessions import another_session, wait_for_older_transactions
from workloads.webhooks.models import Webhook
from workloads.webhooks.service import create_webhook, delete_webhook, update_webhook

pytestmark = pytest.mark.django_db(transaction=True)


def subscribe(tenant: Tenant, *events: str, name: str = "ops", job_filter: str = "") -> Webhook:
    return create_webhook(
        tenant=tenant, name=name, url="https://example.com/hook", events=events or JOB_EVENTS, job_filter=job_filter
    ).webhook


def cancel(*jobs: Job) -> None:
    with all_tenants():
        cancel_jobs(job_ids=[job.pk for job in jobs])


def take_turn() -> int:
    """Run one turn of a new dispatcher's relay, once all transactions are visible."""
    wait_for_older_transactions()
    return EventRelayer().take_turn()


def deliveries() -> list[Job]:
    with all_tenants():
        return list(Job.objects.filter(kind="webhook_delivery").order_by("id"))


def delivered_events() -> list[tuple[str, str, UUID]]:
    """Return webhook, event and job of each delivery."""
    payloads = [job.payload for job in deliveries()]
    return [(each["webhook"], each["event"], UUID(each["data"]["job"])) for each in payloads]


def test_each_end_and_retry_is_delivered_once(acme: Tenant, tick: Tick, start: Start) -> None:
    webhook = subscribe(acme)
    done, dead, again, waiting = submit(acme, 4)
    tick()
    complete(start, done)
    fail(start, dead, is_permanent=True)
    fail(start, again)
    cancel(waiting)
    assert take_turn() == 4
    assert set(delivered_events()) == {
        (str(webhook.pk), "job.completed", done.pk),
        (str(webhook.pk), "job.discarded", dead.pk),
        (str(webhook.pk), "job.retrying", again.pk),
        (str(webhook.pk), "job.cancelled", waiting.pk),
    }
    assert take_turn() == 0
    assert len(delivered_events()) == 4


def test_delivery_contains_the_job_and_its_error_and_no_payload(acme: Tenant, tick: Tick, start: Start) -> None:
    subscribe(acme)
    (job,) = submit(acme, tags=("night",))
    tick()
    fail(start, job)
    take_turn()
    (delivery,) = deliveries()
    with all_tenants():
        event = JobEvent.objects.get(job_id=job.pk, name="execution.failed")
        assert JobEvent.objects.get(job_id=delivery.pk).actor == "system"
        queue = job.queue.name
    assert delivery.payload["timestamp"] == event.at.isoformat()
    assert delivery.payload["data"] == {
        "event": str(event.pk),
        "job": str(job.pk),
        "kind": "noop",
        "queue": queue,
        "state": "retryable",
        "tags": ["night"],
        "fair_key": "",
        "batch": None,
        "attempt": 1,
        "error": {"type": "ValueError", "message": "no"},
    }


def test_crash_before_the_commit_delivers_nothing(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    subscribe(acme)
    cancel(*submit(acme, 3))

    class DiedError(Exception):
        """The dispatcher dies here."""

    def die(*args: Any, **kwargs: Any) -> None:
        raise DiedError

    with monkeypatch.context() as patch:
        patch.setattr(EventRelay, "save", die)
        with pytest.raises(DiedError):
            take_turn()
    assert delivered_events() == []
    assert take_turn() == 3
    assert (take_turn(), len(set(delivered_events())), len(delivered_events())) == (0, 3, 3)


def test_two_dispatchers_deliver_once(acme: Tenant) -> None:
    subscribe(acme)
    cancel(*submit(acme, 3))
    wait_for_older_transactions()
    turns = [EventRelayer(), EventRelayer()]
    assert sum(each.take_turn() for each in turns * 2) == 3
    assert len(delivered_events()) == 3


def test_each_tenant_gets_its_own_events(acme: Tenant, globex: Tenant) -> None:
    own, theirs = subscribe(acme), subscribe(globex)
    (mine,), (others,) = submit(acme), submit(globex)
    cancel(mine)
    assert take_turn() == 1
    assert delivered_events() == [(str(own.pk), "job.cancelled", mine.pk)]
    cancel(others)
    assert take_turn() == 1
    assert delivered_events()[1:] == [(str(theirs.pk), "job.cancelled", others.pk)]
    assert [job.tenant_id for job in deliveries()] == [acme.pk, globex.pk]


def test_events_of_delivery_jobs_are_not_delivered(acme: Tenant) -> None:
    subscribe(acme)
    cancel(*submit(acme))
    assert take_turn() == 1
    cancel(*deliveries())
    assert take_turn() == 0
    assert len(delivered_events()) == 1


def test_relay_without_subscriptions_reads_and_writes_nothing(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    create_webhook(tenant=acme, name="ops", url="https://example.com/hook")
    cancel(*submit(acme))
    monkeypatch.setattr(relay, "read_page", lambda **options: pytest.fail("it reads"))
    assert take_turn() == 0
    with all_tenants():
        assert not EventRelay.objects.exists()


def test_relay_without_events_writes_nothing(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    subscribe(acme)
    cancel(*submit(acme))
    take_turn()
    # Make all written rows old.
    monkeypatch.setattr(relay, "ID_SLACK", -timedelta(hours=1))
    with all_tenants():
        before = EventRelay.objects.values().get()
    take_turn()
    with all_tenants():
        assert EventRelay.objects.values().get() == before


def test_filter_is_applied_to_each_job(acme: Tenant) -> None:
    night = subscribe(acme, "job.cancelled", name="night", job_filter="tag:night -kind:sleep")
    subscribe(acme, "job.completed", name="other")
    (wanted,), (untagged,) = submit(acme, tags=("night",)), submit(acme)
    (slept,) = submit(acme, kind="sleep", tags=("night",), payload={"seconds": 1})
    cancel(wanted, untagged, slept)
    assert take_turn() == 1
    assert delivered_events() == [(str(night.pk), "job.cancelled", wanted.pk)]


def test_webhook_gets_events_after_its_creation(acme: Tenant) -> None:
    early, late, later = submit(acme, 3)
    cancel(early)
    webhook = subscribe(acme)
    cancel(late)
    # Webhooks created later begin at their creation, whatever the relay's position.
    assert take_turn() == 1
    second = subscribe(acme, name="second")
    cancel(later)
    assert take_turn() == 2
    assert delivered_events() == [
        (str(webhook.pk), "job.cancelled", late.pk),
        *sorted((str(each.pk), "job.cancelled", later.pk) for each in (webhook, second)),
    ]


def test_changed_or_deleted_webhook_gets_no_events(acme: Tenant) -> None:
    webhook, other = subscribe(acme), subscribe(acme, name="other")
    with tenant_context(acme):
        update_webhook(webhook_id=webhook.pk, changes={"events": []})
        delete_webhook(webhook=other)
    cancel(*submit(acme))
    assert take_turn() == 0
    with tenant_context(acme):
        update_webhook(webhook_id=webhook.pk, changes={"events": ["job.cancelled"]})
    (job,) = submit(acme)
    cancel(job)
    take_turn()
    assert delivered_events() == [(str(webhook.pk), "job.cancelled", job.pk)]


def test_late_commit_is_delivered_late_and_not_skipped(acme: Tenant) -> None:
    subscribe(acme)
    open_job, beside = submit(acme, 2)
    wait_for_older_transactions()
    with another_session(acme.pk) as late:
        late.execute(
            "INSERT INTO scheduling_jobevent (id, tenant_id, job_id, at, name, state, actor, request_id, data)"
            " VALUES (%s, %s, %s, now(), 'job.cancelled', 'cancelled', 'system', '', '{}')",
            [uuid7(), acme.pk, open_job.pk],
        )
        cancel(beside)
        assert EventRelayer().take_turn() == 0
        late.execute("COMMIT")
    assert take_turn() == 2
    assert {job for _, _, job in delivered_events()} == {open_job.pk, beside.pk}
    assert take_turn() == 0


@pytest.mark.parametrize(
    "sizes",
    [
        {"MAX_SCANNED": 4, "MAX_RETURNED": 3, "MAX_PER_TENANT": 50, "TENANT_DELIVERIES": 10, "TURN_DELIVERIES": 20},
        {"MAX_SCANNED": 100, "MAX_RETURNED": 3, "MAX_PER_TENANT": 2, "TENANT_DELIVERIES": 1, "TURN_DELIVERIES": 2},
        {"MAX_SCANNED": 100, "MAX_RETURNED": 100, "MAX_PER_TENANT": 1, "TENANT_DELIVERIES": 1, "TURN_DELIVERIES": 2},
        {"MAX_SCANNED": 100, "MAX_RETURNED": 100, "MAX_PER_TENANT": 50, "TENANT_DELIVERIES": 1, "TURN_DELIVERIES": 2},
    ],
)
def test_pages_of_any_size_deliver_everything_once(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]
) -> None:
    for name, size in sizes.items():
        monkeypatch.setattr(relay if name.endswith("_DELIVERIES") else event_pages, name, size)
    hooks = [subscribe(acme, name=f"hook {n}") for n in range(3)]
    theirs = subscribe(globex)
    mine, others = submit(acme, 7), submit(globex, 3)
    cancel(*mine[:3], *others, *mine[3:])
    wait_for_older_transactions()
    relayer, turns = EventRelayer(), 0
    relayer.take_turn()
    while relayer.interval_seconds() == 0:
        turns += 1
        assert turns < 100
        # Another process continues.
        relayer = EventRelayer()
        assert relayer.take_turn() <= sizes["TURN_DELIVERIES"]
    wanted = [(str(hook.pk), "job.cancelled", job.pk) for hook in hooks for job in mine]
    wanted += [(str(theirs.pk), "job.cancelled", job.pk) for job in others]
    assert sorted(delivered_events()) == sorted(wanted)
    assert take_turn() == 0


def test_flood_of_one_tenant_delays_no_other(acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "TURN_DELIVERIES", 4)
    monkeypatch.setattr(relay, "TENANT_DELIVERIES", 2)
    hooks = [subscribe(acme, name=f"hook {n}") for n in range(3)]
    theirs = subscribe(globex)
    flood, (other,) = submit(acme, 20), submit(globex)
    cancel(*flood)
    cancel(other)
    assert take_turn() == 3
    assert (str(theirs.pk), "job.cancelled", other.pk) in delivered_events()
    # An event during the flood is delivered in the next turn, and the flood continues in each.
    (another,) = submit(globex)
    cancel(another)
    assert take_turn() == 3
    assert (str(theirs.pk), "job.cancelled", another.pk) in delivered_events()
    turns = 0
    while len(delivered_events()) < 62:
        turns += 1
        assert turns < 100
        assert take_turn() <= 4
    assert len(set(delivered_events())) == len(delivered_events()) == len(hooks) * 20 + 2
    assert take_turn() == 0
    with all_tenants():
        assert not EventRelay.objects.exclude(tenant=None).exists()


def test_tenant_without_room_rests_and_continues_where_it_stopped(acme: Tenant, globex: Tenant) -> None:
    subscribe(acme)
    subscribe(globex)
    mine, others = submit(acme, 5), submit(globex)
    set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=2, reason="small")
    cancel(*mine, *others)
    assert take_turn() == 3
    assert [job for _, _, job in delivered_events()[:2]] == [job.pk for job in mine[:2]]
    # It rests, and delays no other tenant.
    more = submit(globex)
    cancel(*more)
    assert take_turn() == 1
    set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=100, reason="large")
    assert take_turn() == 0
    end_rests()
    assert take_turn() == 3
    cancel(*submit(acme))
    assert take_turn() + take_turn() == 1
    with all_tenants():
        assert not EventRelay.objects.exclude(tenant=None).exists()
    jobs = [job for _, _, job in delivered_events()]
    assert len(jobs) == len(set(jobs)) == 8


def test_events_of_a_suspended_tenant_are_delivered_after_reinstatement(acme: Tenant) -> None:
    subscribe(acme)
    cancel(*submit(acme, 2))
    suspend_tenant(tenant=acme, reason="unpaid")
    assert take_turn() == 0
    reinstate_tenant(tenant=acme, reason="paid")
    end_rests()
    assert take_turn() == 2
    assert take_turn() == 0


def test_tenant_that_is_behind_and_unsubscribes_is_dropped(acme: Tenant, globex: Tenant) -> None:
    webhook = subscribe(acme)
    subscribe(globex)
    jobs = submit(acme, 2)
    set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=0, reason="none")
    cancel(*jobs)
    assert take_turn() == 0
    with tenant_context(acme):
        delete_webhook(webhook=webhook)
    end_rests()
    assert take_turn() == 0
    with all_tenants():
        assert not EventRelay.objects.exclude(tenant=None).exists()


def test_failing_tenant_rests_and_others_get_their_events(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from scheduling.subscriptions import deliveries as telling

    subscribe(acme)
    subscribe(globex)
    mine, others = submit(acme), submit(globex)
    cancel(*mine, *others)
    submit_jobs = telling.submit_jobs

    def break_for_acme(*, tenant: Tenant, **options: Any) -> Any:
        bulk = submit_jobs(tenant=tenant, **options)
        if tenant == acme:
            raise RuntimeError("broken")
        return bulk

    with monkeypatch.context() as patch:
        patch.setattr(telling, "submit_jobs", break_for_acme)
        assert take_turn() == 1
    assert "relay.broken" in caplog.messages
    end_rests()
    assert take_turn() == 1
    assert {job for _, _, job in delivered_events()} == {mine[0].pk, others[0].pk}


def test_relay_restarts_on_a_restored_database(acme: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    subscribe(acme)
    cancel(*submit(acme))
    take_turn()
    cancel(*submit(acme))
    with all_tenants():
        EventRelay.objects.update(settled=read_horizon().upcoming + 1_000_000)
    assert take_turn() == 0
    assert "relay.begun_anew" in caplog.messages
    (job,) = submit(acme)
    cancel(job)
    assert take_turn() == 1
    assert delivered_events()[1:] == [(delivered_events()[0][0], "job.cancelled", job.pk)]


def test_late_subscriber_gets_no_old_events_despite_an_old_position(acme: Tenant) -> None:
    webhook = subscribe(acme)
    cancel(*submit(acme))
    take_turn()
    with tenant_context(acme):
        update_webhook(webhook_id=webhook.pk, changes={"events": []})
    cancel(*submit(acme))
    with all_tenants():
        EventRelay.objects.update(since=read_clock() - timedelta(days=30))
    take_turn()
    with tenant_context(acme):
        update_webhook(webhook_id=webhook.pk, changes={"events": ["job.cancelled"]})
    (job,) = submit(acme)
    cancel(job)
    assert take_turn() == 1
    assert delivered_events()[1:] == [(str(webhook.pk), "job.cancelled", job.pk)]


def end_rests() -> None:
    with all_tenants():
        EventRelay.objects.exclude(tenant=None).update(due_at=read_clock() - timedelta(seconds=1))
