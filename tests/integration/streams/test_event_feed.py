"""The order of the feed: what is committed late is read late, and never skipped."""

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
from scheduling.streams.event_feed import FedEvent, Position, read_feed, read_horizon
from scheduling.streams.feed import EventFeed
from scheduling.streams.subscriptions import Subscription
from tenants.access.memberships import add_member, remove_member
from tenants.access.permissions import Permission
from tenants.access.standing import who_may_no_more
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tests.integration.scheduling.acts import submit
from tests.integration.streams.sessions import another_session, let_settle

pytestmark = pytest.mark.django_db(transaction=True)


def read(tenant: Tenant, after: Position, **options: object) -> list[FedEvent]:
    with tenant_context(tenant):
        since = read_clock() - timedelta(hours=1)
        return read_feed(tenant_ids=[tenant.pk], after=after, until=read_horizon().settled, since=since, **options)


def names(fed: list[FedEvent]) -> list[tuple[UUID, str]]:
    return [(each.event.job_id, each.event.name) for each in fed]


def test_what_is_committed_late_with_a_smaller_id_is_read_after_what_was_read_before_it(acme: Tenant) -> None:
    early, job = uuid7(), submit(acme)[0]
    let_settle()
    with another_session(acme.pk) as late:
        write_event(late, early, acme, job.pk)
        beside = submit(acme)[0]
        # The one that is open holds back what was committed beside it, so that there is an order.
        assert names(read(acme, Position(0))) == [(job.pk, "job.submitted")]
        [first] = read(acme, Position(0))
        late.execute("COMMIT")
    let_settle()
    rest = read(acme, first.position)
    assert {each.event.id for each in rest} >= {early}
    assert (beside.pk, "job.submitted") in names(rest)
    assert read(acme, rest[-1].position) == []
    everything = read(acme, Position(0))
    assert [each.position for each in everything] == sorted(each.position for each in everything)


def test_a_savepoints_events_are_held_back_as_long_as_its_transaction_is_open(acme: Tenant) -> None:
    with another_session(acme.pk) as late:
        write_event(late, uuid7(), acme, uuid7())
        late.execute("SAVEPOINT inner_one")
        within = uuid7()
        write_event(late, within, acme, uuid7())
        late.execute("RELEASE SAVEPOINT inner_one")
        before = read(acme, Position(0))
        late.execute("COMMIT")
    let_settle()
    assert within not in {each.event.id for each in before}
    assert within in {each.event.id for each in read(acme, Position(0))}


def test_pages_tile_whatever_their_size(acme: Tenant) -> None:
    submit(acme, 7)
    let_settle()
    whole, after, pieces = read(acme, Position(0)), Position(0), []
    while page := read(acme, after, limit=2):
        pieces += page
        after = page[-1].position
    assert [each.event.id for each in pieces] == [each.event.id for each in whole]
    assert len(whole) == 7


def test_another_tenants_events_are_not_there_whoever_is_named(acme: Tenant, globex: Tenant) -> None:
    submit(globex)
    let_settle()
    with tenant_context(acme):
        fed = read_feed(
            tenant_ids=[globex.pk, acme.pk],
            after=Position(0),
            until=read_horizon().settled,
            since=read_clock() - timedelta(hours=1),
        )
    assert fed == []


class Listener(Subscription):
    """A client that keeps what it is handed."""

    def __init__(self, tenant: Tenant, after: Position | None = None, **options: object) -> None:
        super().__init__(HttpRequest(), Permission.JOBS_VIEW, tenant_id=tenant.pk, after=after, **options)
        self.heard: list[bytes] = []
        self.is_over = False

    def offer(self, messages: object, *, is_last: bool = False) -> None:
        self.heard += messages
        self.is_over = self.is_over or is_last


def test_a_client_that_is_cut_off_anywhere_hears_all_and_nothing_twice(acme: Tenant) -> None:
    feed, first = EventFeed(), Listener(acme)
    let_settle()
    feed.look([first])
    jobs = submit(acme, 3)
    let_settle()
    feed.look([first])
    with tenant_context(acme):
        for job in jobs:
            cancel_job(job_id=job.pk)
    let_settle()
    feed.look([first])
    told = [message for message in first.heard if b"event:" not in message]
    assert len(told) == 6
    for cut in range(6):
        place = Position.parse(told[cut].decode().split("\n")[0].removeprefix("id: "))
        again = Listener(acme, place)
        # Another process, which has seen nothing of it.
        EventFeed().look([again])
        assert again.heard == told[cut + 1 :]


def test_a_newcomer_is_live_at_the_very_place_where_its_past_ends(acme: Tenant) -> None:
    feed, live = EventFeed(), Listener(acme)
    let_settle()
    feed.look([live])
    ready = Position.parse(live.heard[0].decode().split("\n")[0].removeprefix("id: "))
    submit(acme, 2)
    newcomer = Listener(acme, ready)
    let_settle()
    feed.look([live, newcomer])
    submit(acme, 2)
    let_settle()
    feed.look([live, newcomer])
    let_settle()
    feed.look([live, newcomer])
    assert newcomer.heard == live.heard[1:]
    assert len(newcomer.heard) == 4


def test_one_reading_serves_all_clients(acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = EventFeed()
    clients = [Listener(acme) for _ in range(150)] + [Listener(globex) for _ in range(150)]
    let_settle()
    feed.look(clients)
    submit(acme)
    let_settle()
    readings: list[set[UUID]] = []

    def counted(**options: Any) -> list[FedEvent]:
        readings.append(options["tenant_ids"])
        return read_feed(**options)

    monkeypatch.setattr(event_feed, "read_feed", counted)
    let_settle()
    feed.look(clients)
    assert readings == [{acme.pk, globex.pk}]
    assert [len(each.heard) for each in clients] == [2] * 150 + [1] * 150


def test_a_jobs_stream_begins_with_its_past_and_ends_with_the_job(acme: Tenant) -> None:
    job, other = submit(acme, 2)
    feed, listener = EventFeed(), Listener(acme, job_id=job.pk)
    let_settle()
    feed.look([listener])
    with tenant_context(acme):
        cancel_job(job_id=other.pk)
        cancel_job(job_id=job.pk)
    assert not listener.is_over
    let_settle()
    feed.look([listener])
    assert listener.is_over
    with tenant_context(acme):
        story = JobEvent.objects.filter(job_id=job.pk).order_by("id").values_list("id", flat=True)
        told = [json.loads(message.decode().split("data: ")[1])["id"] for message in listener.heard[1:-1]]
        assert told == [str(event_id) for event_id in story]


def test_the_stream_of_an_ended_job_waits_for_its_last_event_to_settle(acme: Tenant) -> None:
    [job] = submit(acme)
    let_settle()
    with another_session(acme.pk) as older:
        write_event(older, uuid7(), acme, uuid7())
        with tenant_context(acme):
            cancel_job(job_id=job.pk)
        feed, listener = EventFeed(), Listener(acme, job_id=job.pk, has_ended=True)
        feed.look([listener])
        feed.look([listener])
        assert (len(listener.heard), listener.is_over) == (2, False)
        older.execute("COMMIT")
    let_settle()
    feed.look([listener])
    assert listener.is_over
    told = [json.loads(message.decode().split("data: ")[1])["name"] for message in listener.heard[1:-1]]
    assert told == ["job.submitted", "job.cancelled"]
    # Whoever has heard it all, and asks again.
    again = Listener(acme, Position.parse(ids_of(listener)[-1]), job_id=job.pk, has_ended=True)
    let_settle()
    feed.look([again])
    assert again.is_over
    assert ids_of(again) == []


@pytest.mark.parametrize("how", ["log-in ended", "member removed"])
def test_caller_that_loses_its_right_is_found_among_all(
    acme: Tenant, acme_user: User, outsider: User, how: str
) -> None:
    membership = add_member(tenant=acme, user=outsider)
    asked = []
    for user in (acme_user, outsider):
        client = Client()
        client.force_login(user)
        client.get(reverse("admin:index"))
        request = client.get(reverse("admin:index")).wsgi_request
        asked.append((request, Permission.JOBS_VIEW))
    assert who_may_no_more(asked) == set()
    if how == "member removed":
        remove_member(membership=membership)
    else:
        client.session.flush()
    assert who_may_no_more(asked) == {asked[1][0]}


def ids_of(listener: Listener) -> list[str]:
    """Where each event stands that a client was told."""
    return [
        message.decode().split("\n")[0].removeprefix("id: ") for message in listener.heard if b"event:" not in message
    ]


def write_event(session: object, event_id: UUID, tenant: Tenant, job_id: UUID) -> None:
    session.execute(
        "INSERT INTO scheduling_jobevent (id, tenant_id, job_id, at, name, state, actor, request_id, data)"
        " VALUES (%s, %s, %s, now(), 'job.submitted', 'available', 'system', '', '{}')",
        [event_id, tenant.pk, job_id],
    )
