"""The order of the event feed: late commits are read late, and never skipped."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

from scheduling.jobs.cancellation import cancel_job
from scheduling.models import JobEvent
from scheduling.streams import feed as event_feed
from scheduling.streams.event_feed import FedEvent, FeedPosition, read_feed, read_horizon
from scheduling.streams.feed import EventFeed
from scheduling.streams.subscriptions import StreamSubscription
from tenants.access.memberships import add_member, remove_member
from tenants.access.permissions import Permission
from tenants.access.reauthorization import find_revoked
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.streams.sessions import another_session, wait_for_older_transactions

pytestmark = pytest.mark.django_db(transaction=True)


def read(tenant: Tenant, after: FeedPosition, **options: object) -> list[FedEvent]:
    with tenant_context(tenant):
        since = read_clock() - timedelta(hours=1)
        return read_feed(tenant_ids=[tenant.pk], after=after, until=read_horizon().settled, since=since, **options)


def names(fed: list[FedEvent]) -> list[tuple[UUID, str]]:
    return [(each.event.job_id, each.event.name) for each in fed]


def test_late_commit_with_a_smaller_id_is_read_later(acme: Tenant) -> None:
    early, job = uuid7(), submit(acme)[0]
    wait_for_older_transactions()
    with another_session(acme.pk) as late:
        write_event(late, early, acme, job.pk)
        beside = submit(acme)[0]
        # The open transaction holds back what was committed beside it, so that there is an order.
        assert names(read(acme, FeedPosition(0))) == [(job.pk, "job.submitted")]
        [first] = read(acme, FeedPosition(0))
        late.execute("COMMIT")
    wait_for_older_transactions()
    rest = read(acme, first.position)
    assert {each.event.id for each in rest} >= {early}
    assert (beside.pk, "job.submitted") in names(rest)
    assert read(acme, rest[-1].position) == []
    everything = read(acme, FeedPosition(0))
    assert [each.position for each in everything] == sorted(each.position for each in everything)


def test_events_of_a_savepoint_are_held_until_its_transaction_ends(acme: Tenant) -> None:
    with another_session(acme.pk) as late:
        write_event(late, uuid7(), acme, uuid7())
        late.execute("SAVEPOINT inner_one")
        within = uuid7()
        write_event(late, within, acme, uuid7())
        late.execute("RELEASE SAVEPOINT inner_one")
        before = read(acme, FeedPosition(0))
        late.execute("COMMIT")
    wait_for_older_transactions()
    assert within not in {each.event.id for each in before}
    assert within in {each.event.id for each in read(acme, FeedPosition(0))}


def test_pages_of_any_size_are_complete(acme: Tenant) -> None:
    submit(acme, 7)
    wait_for_older_transactions()
    whole, after, pieces = read(acme, FeedPosition(0)), FeedPosition(0), []
    while page := read(acme, after, limit=2):
        pieces += page
        after = page[-1].position
    assert [each.event.id for each in pieces] == [each.event.id for each in whole]
    assert len(whole) == 7


def test_events_of_another_tenant_are_never_read(acme: Tenant, globex: Tenant) -> None:
    submit(globex)
    wait_for_older_transactions()
    with tenant_context(acme):
        fed = read_feed(
            tenant_ids=[globex.pk, acme.pk],
            after=FeedPosition(0),
            until=read_horizon().settled,
            since=read_clock() - timedelta(hours=1),
        )
    assert fed == []


class Listener(StreamSubscription):
    """A client that stores what it receives."""

    def __init__(self, tenant: Tenant, after: FeedPosition | None = None, **options: object) -> None:
        super().__init__(HttpRequest(), Permission.JOBS_VIEW, tenant_id=tenant.pk, after=after, **options)
        self.received: list[bytes] = []
        self.is_over = False

    def offer(self, messages: object, *, is_last: bool = False) -> None:
        self.received += messages
        self.is_over = self.is_over or is_last


def test_reconnecting_client_gets_every_event_once(acme: Tenant) -> None:
    feed, first = EventFeed(), Listener(acme)
    wait_for_older_transactions()
    feed.look([first])
    jobs = submit(acme, 3)
    wait_for_older_transactions()
    feed.look([first])
    with tenant_context(acme):
        for job in jobs:
            cancel_job(job_id=job.pk)
    wait_for_older_transactions()
    feed.look([first])
    messages = [message for message in first.received if b"event:" not in message]
    assert len(messages) == 6
    for cut in range(6):
        place = FeedPosition.parse(messages[cut].decode().split("\n")[0].removeprefix("id: "))
        again = Listener(acme, place)
        # Another process, without any state of the first.
        EventFeed().look([again])
        assert again.received == messages[cut + 1 :]


def test_new_client_is_live_exactly_where_its_history_ends(acme: Tenant) -> None:
    feed, live = EventFeed(), Listener(acme)
    wait_for_older_transactions()
    feed.look([live])
    ready = FeedPosition.parse(live.received[0].decode().split("\n")[0].removeprefix("id: "))
    submit(acme, 2)
    newcomer = Listener(acme, ready)
    wait_for_older_transactions()
    feed.look([live, newcomer])
    submit(acme, 2)
    wait_for_older_transactions()
    feed.look([live, newcomer])
    wait_for_older_transactions()
    feed.look([live, newcomer])
    assert newcomer.received == live.received[1:]
    assert len(newcomer.received) == 4


def test_one_read_serves_all_clients(acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = EventFeed()
    clients = [Listener(acme) for _ in range(150)] + [Listener(globex) for _ in range(150)]
    wait_for_older_transactions()
    feed.look(clients)
    submit(acme)
    wait_for_older_transactions()
    readings: list[set[UUID]] = []

    def counted(**options: Any) -> list[FedEvent]:
        readings.append(options["tenant_ids"])
        return read_feed(**options)

    monkeypatch.setattr(event_feed, "read_feed", counted)
    wait_for_older_transactions()
    feed.look(clients)
    assert readings == [{acme.pk, globex.pk}]
    assert [len(each.received) for each in clients] == [2] * 150 + [1] * 150


def test_stream_of_a_job_covers_its_history_until_its_end(acme: Tenant) -> None:
    job, other = submit(acme, 2)
    feed, listener = EventFeed(), Listener(acme, job_id=job.pk)
    wait_for_older_transactions()
    feed.look([listener])
    with tenant_context(acme):
        cancel_job(job_id=other.pk)
        cancel_job(job_id=job.pk)
    assert not listener.is_over
    wait_for_older_transactions()
    feed.look([listener])
    assert listener.is_over
    with tenant_context(acme):
        story = JobEvent.objects.filter(job_id=job.pk).order_by("id").values_list("id", flat=True)
        ids = [json.loads(message.decode().split("data: ")[1])["id"] for message in listener.received[1:-1]]
        assert ids == [str(event_id) for event_id in story]


def test_stream_of_an_ended_job_waits_for_its_last_event(acme: Tenant) -> None:
    [job] = submit(acme)
    wait_for_older_transactions()
    with another_session(acme.pk) as older:
        write_event(older, uuid7(), acme, uuid7())
        with tenant_context(acme):
            cancel_job(job_id=job.pk)
        feed, listener = EventFeed(), Listener(acme, job_id=job.pk, has_ended=True)
        feed.look([listener])
        feed.look([listener])
        assert (len(listener.received), listener.is_over) == (2, False)
        older.execute("COMMIT")
    wait_for_older_transactions()
    feed.look([listener])
    assert listener.is_over
    event_names = [json.loads(message.decode().split("data: ")[1])["name"] for message in listener.received[1:-1]]
    assert event_names == ["job.submitted", "job.cancelled"]
    # A client that has received everything, and reconnects.
    again = Listener(acme, FeedPosition.parse(ids_of(listener)[-1]), job_id=job.pk, has_ended=True)
    wait_for_older_transactions()
    feed.look([again])
    assert again.is_over
    assert ids_of(again) == []


@pytest.mark.parametrize("how", ["log-in ended", "member removed"])
def test_callers_that_lost_their_right_are_found(acme: Tenant, acme_user: User, outsider: User, how: str) -> None:
    membership = add_member(tenant=acme, user=outsider)
    asked = []
    for user in (acme_user, outsider):
        client = Client()
        client.force_login(user)
        client.get(reverse("admin:index"))
        request = client.get(reverse("admin:index")).wsgi_request
        asked.append((request, Permission.JOBS_VIEW))
    assert find_revoked(asked) == set()
    if how == "member removed":
        remove_member(membership=membership)
    else:
        client.session.flush()
    assert find_revoked(asked) == {asked[1][0]}


def ids_of(listener: Listener) -> list[str]:
    """Return the position of each event that a client received."""
    return [
        message.decode().split("\n")[0].removeprefix("id: ")
        for message in listener.received
        if b"event:" not in message
    ]


def write_event(session: object, event_id: UUID, tenant: Tenant, job_id: UUID) -> None:
    session.execute(
        "INSERT INTO scheduling_jobevent (id, tenant_id, job_id, at, name, state, actor, request_id, data)"
        " VALUES (%s, %s, %s, now(), 'job.submitted', 'available', 'system', '', '{}')",
        [event_id, tenant.pk, job_id],
    )
