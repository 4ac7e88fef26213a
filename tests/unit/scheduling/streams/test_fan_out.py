"""One reader for many clients: each receives its events once, and a slow client is disconnected."""

from __future__ import annotations

import asyncio
import gc
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.http import HttpRequest

from scheduling.exceptions import StreamsFullError, TooManyStreamsError
from scheduling.models import JobEvent
from scheduling.streams import feed as event_feed
from scheduling.streams.event_feed import FedEvent, FeedPosition, Horizon, PositionInvalidError
from scheduling.streams.feed import RESUME_LIMIT, EventFeed, end_of, is_resumable, send_events
from scheduling.streams.messages import control_message, event_message
from scheduling.streams.responses import StreamOwner, StreamSlots
from scheduling.streams.subscriptions import MAX_WAITING, StreamSubscription
from tenants.access.permissions import Permission
from tenants.database.ids import uuid7, uuid7_floor
from tests.platform_settings import ChangePlatformSettings

ACME, GLOBEX = uuid4(), uuid4()
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def subscription(tenant_id: UUID = ACME, **options: Any) -> StreamSubscription:
    return StreamSubscription(HttpRequest(), Permission.JOBS_VIEW, tenant_id=tenant_id, after=None, **options)


def fed(name: str = "job.submitted", state: str = "available", **values: Any) -> FedEvent:
    event = JobEvent(
        **{"id": uuid7(), "tenant_id": ACME, "job_id": uuid4(), "at": NOW, "name": name, "state": state} | values
    )
    return FedEvent(FeedPosition(7, event.id), "noop", event)


def lines_of(message: bytes) -> dict[str, str]:
    assert message.endswith(b"\n\n")
    return dict(line.split(": ", 1) for line in message.decode().strip().split("\n"))


async def queued_after(*acts: Any, by: StreamSubscription) -> list[tuple[bytes, bool]]:
    """Return what the client's queue contains after each of these calls."""
    by.begin()
    for act in acts:
        act()
    await asyncio.sleep(0)
    return [by._queue.get_nowait() for _ in range(by._queue.qsize())]


def test_position_is_equal_after_parsing_its_text() -> None:
    position = FeedPosition(12345, uuid7())
    assert FeedPosition.parse(str(position)) == position
    assert FeedPosition(5, uuid7()) < FeedPosition(6) < FeedPosition(6, uuid7())


@pytest.mark.parametrize(
    "text", ["1", "x-" + "0" * 32, "1-" + "0" * 31, "1-" + "G" * 32, "-1-" + "0" * 32, "1" * 19 + "-" + "0" * 32]
)
def test_invalid_position_is_refused(text: str) -> None:
    with pytest.raises(PositionInvalidError):
        FeedPosition.parse(text)


def test_event_message_has_its_position_and_the_public_data() -> None:
    event = fed("job.dispatched", "dispatched", data={"number": 1, "reason": "others wait", "start_tag": 9})
    lines = lines_of(event_message(event))
    assert (lines["id"], "event" in lines) == (str(event.position), False)
    assert json.loads(lines["data"])["data"] == {"number": 1}


def test_text_with_line_breaks_stays_one_message() -> None:
    lines = lines_of(event_message(fed(data={"reason": "one\n\nid: 9\r\ndata: two"})))
    assert json.loads(lines["data"])["data"]["reason"] == "one\n\nid: 9\r\ndata: two"


def test_client_receives_events_of_its_tenant_or_job_only() -> None:
    mine, other_job, foreign = fed(), fed(), fed(tenant_id=GLOBEX)
    of_tenant, of_job = subscription(), subscription(job_id=mine.event.job_id)

    async def main() -> tuple[Any, Any]:
        batch = [mine, other_job, foreign]
        return (
            await queued_after(lambda: send_events(of_tenant, batch), by=of_tenant),
            await queued_after(lambda: send_events(of_job, batch), by=of_job),
        )

    by_tenant, by_job = asyncio.run(main())
    assert by_tenant == [(event_message(mine) + event_message(other_job), False)]
    assert by_job == [(event_message(mine), False)]


def test_job_stream_ends_with_its_job_and_tenant_stream_does_not() -> None:
    last = fed("job.completed", "completed")
    of_tenant, of_job = subscription(), subscription(job_id=last.event.job_id)

    async def main() -> list[bool]:
        received = [
            await queued_after(lambda: send_events(of_tenant, [last]), by=of_tenant),
            await queued_after(lambda: send_events(of_job, [last]), by=of_job),
        ]
        return [is_last for [(_, is_last)] in received]

    assert asyncio.run(main()) == [False, True]


def test_stream_of_ended_job_without_events_sends_the_end() -> None:
    of_job = subscription(job_id=uuid4(), has_ended=True)
    [(message, is_last)] = asyncio.run(queued_after(lambda: send_events(of_job, [], is_past=True), by=of_job))
    assert (message, is_last) == (control_message("end", {"reason": "job_ended"}), True)


def test_slow_client_is_disconnected_with_a_reason() -> None:
    slow = subscription()
    acts = [lambda: slow.offer([b"x"])] * (MAX_WAITING + 1)
    [(message, is_last)] = asyncio.run(queued_after(*acts, by=slow))
    assert (lines_of(message)["data"], is_last) == ('{"reason":"too_slow"}', True)


@pytest.mark.parametrize(
    ("after", "is_possible"),
    [
        (end_of(Horizon(50, 60), NOW - timedelta(minutes=5)), True),
        # The database is another one, or was restored.
        (FeedPosition(61, uuid7_floor(NOW)), False),
        (FeedPosition(40, uuid7_floor(NOW - RESUME_LIMIT - timedelta(seconds=1))), False),
        # A position without a time.
        (FeedPosition(40), False),
    ],
)
def test_stream_is_resumable_only_without_a_gap(after: FeedPosition, is_possible: bool) -> None:
    assert is_resumable(subscription(), after, Horizon(50, 60), NOW) is is_possible


class Recording(EventFeed):
    """Feed that does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_for: list[list[StreamSubscription]] = []

    def look(self, subscriptions: Any) -> None:
        self.looked_for.append(list(subscriptions))


@pytest.fixture
def recording() -> Recording:
    return Recording()


def test_client_without_right_receives_the_end_and_no_event(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays, goes = subscription(), subscription()
    monkeypatch.setattr(event_feed, "find_revoked", lambda asked: {goes.request} & {request for request, _ in asked})
    [(message, is_last)] = asyncio.run(queued_after(lambda: recording.take_turn([stays, goes]), by=goes))
    assert (lines_of(message)["data"], is_last) == ('{"reason":"right_lost"}', True)
    assert recording.looked_for == [[stays]]


def test_rights_of_all_clients_are_checked_together_every_second(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    clock = iter([10.0, 10.2, 10.4, 10.6])
    monkeypatch.setattr(event_feed, "find_revoked", lambda pairs: asked.append(len(list(pairs))) or set())
    monkeypatch.setattr(event_feed.time, "monotonic", lambda: next(clock))
    clients = [subscription() for _ in range(300)]
    for _ in range(4):
        recording.take_turn(clients)
    assert asked == [300, 300]
    assert event_feed.RIGHTS_SECONDS < 1


def test_place_is_released_however_its_stream_ends(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(STREAMS_PER_CALLER=1, STREAMS_PER_PROCESS=2)
    places, ann, ben, cem = StreamSlots(), *(StreamOwner(name, name) for name in ("ann", "ben", "cem"))
    first = places.take(ann)
    with pytest.raises(TooManyStreamsError):
        places.take(ann)
    second = places.take(ben)
    with pytest.raises(StreamsFullError):
        places.take(cem)
    del first  # its stream was never begun
    gc.collect()
    places.give_back(second)
    assert places.take(ann)
    assert places.take(cem)


def test_streams_of_tenant_are_limited_by_plan_across_keys(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(STREAMS_PER_CALLER=20, STREAMS_PER_PROCESS=500)
    places = StreamSlots()
    held = [places.take(StreamOwner(f"key {number}", "acme", 100)) for number in range(100)]
    with pytest.raises(TooManyStreamsError) as refusal:
        places.take(StreamOwner("another key", "acme", 100))
    assert refusal.value.limit is not None
    assert (refusal.value.limit.key, refusal.value.limit.allowed) == ("streams", 100)
    assert places.take(StreamOwner("a key", "globex", 100))
    places.give_back(held[0])
    assert places.take(StreamOwner("another key", "acme", 100))


def test_last_tenth_of_a_process_is_for_tenants_without_a_stream(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(STREAMS_PER_CALLER=100, STREAMS_PER_PROCESS=20)
    places = StreamSlots()
    held = [places.take(StreamOwner("a key", "acme", 100)) for _ in range(18)]
    with pytest.raises(StreamsFullError):
        places.take(StreamOwner("a key", "acme", 100))
    held.append(places.take(StreamOwner("a key", "globex", 100)))
    with pytest.raises(StreamsFullError):
        places.take(StreamOwner("a key", "globex", 100))
    held.append(places.take(StreamOwner("stella", "stella")))
    with pytest.raises(StreamsFullError):
        places.take(StreamOwner("a key", "initech", 100))
    assert len(held) == 20
