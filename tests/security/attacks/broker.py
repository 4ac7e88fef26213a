"""Attacks with write access to Redis: messages. Attacks on documents and consumers have modules of their own."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.test import override_settings
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduling.celery import publishing
from scheduling.celery.tasks import SUBMIT_TASK
from scheduling.conf import CANARY_TASK, RUN_UPKEEP_TASK
from scheduling.models import Job, UpkeepRun
from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from tests.security.attacks import broker_cache, broker_consumers, broker_users
from tests.security.messages import altered, forge, published, receive
from tests.security.table import Attack
from tests.security.world import World

WORK: dict[str, Any] = {"tenant": "zeta", "kind": "noop"}
A_DAY = 86_401.0


def _jobs() -> str:
    with all_tenants():
        return f"{Job.objects.count()} jobs"


def _runs() -> str:
    with all_tenants():
        return f"{UpkeepRun.objects.count()} runs"


def _reasons_and_rest(refused: list[str], left: str) -> str:
    return ", ".join([*refused, left])


def _with_body(body: Any) -> bytes:
    """Return a signed submission with another body, unchanged otherwise."""
    parsed: dict[str, Any] = json.loads(published(SUBMIT_TASK, [], WORK))
    parsed["body"] = body
    del parsed["properties"]["body_encoding"]
    return json.dumps(parsed).encode()


def bodies_of_other_types(world: World) -> str:
    messages = [_with_body(body) for body in (10**30, 10**15, {}, [1], None)]
    return _reasons_and_rest(receive(*messages, within=0.3), _jobs())


def body_of_half_a_character(world: World) -> str:
    return _reasons_and_rest(receive(_with_body("\ud800")), _jobs())


def messages_without_properties(world: World) -> str:
    parsed = json.loads(published(SUBMIT_TASK, [], WORK))
    return _reasons_and_rest(receive(json.dumps(parsed | {"properties": {}}).encode(), b"[]", within=0.3), _jobs())


def nested_message(world: World) -> str:
    return _reasons_and_rest(receive(b"[" * 200_000, within=0.3), _jobs())


def task_without_name(world: World) -> str:
    message = altered(published(SUBMIT_TASK, [], WORK), headers={"task": [SUBMIT_TASK]})
    return _reasons_and_rest(receive(message, within=0.3), _jobs())


def forged_submission(world: World) -> str:
    return _reasons_and_rest(receive(forge(SUBMIT_TASK, [], WORK)), _jobs())


def guessed_signature(world: World) -> str:
    return _reasons_and_rest(receive(forge(SUBMIT_TASK, [], WORK, signature="00" * 32, signed_at="9e9")), _jobs())


def key_of_another_platform(world: World) -> str:
    with override_settings(SECRET_KEY="the attacker's own"):
        message = published(SUBMIT_TASK, [], WORK)
    return _reasons_and_rest(receive(message), _jobs())


def altered_arguments(world: World) -> str:
    message = published(SUBMIT_TASK, [], {"tenant": "aaa", "kind": "noop"})
    return _reasons_and_rest(receive(altered(message, body=[[], WORK, {}])), _jobs())


def altered_time(world: World) -> str:
    message = published(SUBMIT_TASK, [], WORK)
    return _reasons_and_rest(receive(altered(message, headers={"signed_at": "9000000000.000"})), _jobs())


def altered_id(world: World) -> str:
    message = published(SUBMIT_TASK, [], WORK)
    return _reasons_and_rest(receive(altered(message, headers={"id": "another"})), _jobs())


def signature_of_another_task(world: World) -> str:
    message = published(CANARY_TASK, [], WORK)
    return _reasons_and_rest(receive(altered(message, headers={"task": SUBMIT_TASK})), _jobs())


def replayed_submission(world: World) -> str:
    message = published(SUBMIT_TASK, [], WORK)
    return _reasons_and_rest(receive(*[message] * 5), _jobs())


def replayed_due_time(world: World) -> str:
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="often", task=SUBMIT_TASK, interval=every)
    message = published(SUBMIT_TASK, [], WORK, periodic_task_name="often")
    now = publishing.time.time()
    refused = receive(message)
    # Many due times later.
    with patch.object(publishing.time, "time", lambda: now + 3_600):
        return _reasons_and_rest([*refused, *receive(message)], _jobs())


def submission_replayed_after_a_day(world: World) -> str:
    message = published(SUBMIT_TASK, [], WORK)
    now = publishing.time.time()
    with patch.object(publishing.time, "time", lambda: now + A_DAY):
        return _reasons_and_rest(receive(message), _jobs())


def due_time_replayed_after_a_day(world: World) -> str:
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.create(name="often", task=SUBMIT_TASK, interval=every)
    message = published(SUBMIT_TASK, [], WORK, periodic_task_name="often")
    now = publishing.time.time()
    with patch.object(publishing.time, "time", lambda: now + A_DAY):
        refused = receive(message, message)
    with all_tenants():
        entries = AuditLogEntry.objects.filter(action="beat.refused").count()
    return _reasons_and_rest([*refused, f"{entries} entries"], _jobs())


def forged_upkeep(world: World) -> str:
    return _reasons_and_rest(receive(forge(RUN_UPKEEP_TASK, ["partitions"], {})), _runs())


def forged_partitions(world: World) -> str:
    made: list[str] = []
    with patch("scheduling.upkeep.partitions.maintain_partitions", lambda: made.append("made")):
        return _reasons_and_rest(receive(forge("scheduling.maintain_partitions", [], {})), f"{len(made)} calls")


def replayed_upkeep(world: World) -> str:
    now = publishing.time.time()
    with patch.object(publishing.time, "time", lambda: now - 3_600):
        message = published(RUN_UPKEEP_TASK, ["partitions"], {})
    return _reasons_and_rest(receive(message, message, message), _runs())


def forged_execution(world: World) -> str:
    token = "8ab3c1d6-0c5c-4f0e-9a39-3f3c4f3b6f10"
    return _reasons_and_rest(receive(forge("scheduling.execute", [[token], token], {})), "0 started")


def forged_canary(world: World) -> str:
    return _reasons_and_rest(receive(forge("scheduling.canary", [7], {})), "not answered")


def rotated_key(world: World) -> str:
    """Return the result for a message from before a rotation of SECRET_KEY, which the fallback key accepts."""
    message = published(SUBMIT_TASK, [], WORK)
    with override_settings(SECRET_KEY="the next one", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        return _reasons_and_rest(receive(message), _jobs())


ATTACKS: tuple[Attack, ...] = (
    Attack(
        "forged submission", "scheduling.submit for another tenant, unsigned", "unsigned, 0 jobs", forged_submission
    ),
    Attack("guessed signature", "the same with a signature of zeros", "wrong signature, 0 jobs", guessed_signature),
    Attack(
        "signature under another key",
        "the same, signed with a SECRET_KEY of the attacker's",
        "wrong signature, 0 jobs",
        key_of_another_platform,
    ),
    Attack(
        "altered arguments", "a signed submission with another tenant", "wrong signature, 0 jobs", altered_arguments
    ),
    Attack("altered time of signing", "a signed submission with a later time", "wrong signature, 0 jobs", altered_time),
    Attack("altered message id", "a signed submission under a new id", "wrong signature, 0 jobs", altered_id),
    Attack(
        "signature of another task",
        "a signed canary, renamed scheduling.submit",
        "wrong signature, 0 jobs",
        signature_of_another_task,
    ),
    Attack("replayed submission", "one signed submission five times", "1 jobs", replayed_submission),
    Attack("replayed due time", "one of beat's messages again after an hour", "1 jobs", replayed_due_time),
    Attack(
        "submission replayed after a day",
        "a signed submission when its idempotency key may be gone",
        "too old, 0 jobs",
        submission_replayed_after_a_day,
    ),
    Attack(
        "due time replayed after a day",
        "one of beat's messages twice, a day late",
        "too old, too old, 1 entries, 0 jobs",
        due_time_replayed_after_a_day,
    ),
    Attack(
        "bodies that are no text",
        "signed submissions with a body of 10**30, 10**15, {}, [1] and null",
        "unreadable, unreadable, unreadable, unreadable, unreadable, 0 jobs",
        bodies_of_other_types,
    ),
    Attack(
        "body of half a character",
        "a signed submission with a lone surrogate as its body",
        "unreadable, 0 jobs",
        body_of_half_a_character,
    ),
    Attack(
        "messages without properties",
        "a submission without a delivery tag, and a list",
        "unreadable, unreadable, 0 jobs",
        messages_without_properties,
    ),
    Attack("nested message", "200,000 opening brackets", "unreadable, 0 jobs", nested_message),
    Attack("task whose name is a list", "a submission of the task [name]", "unreadable, 0 jobs", task_without_name),
    Attack("forged upkeep", "scheduling.run_upkeep, unsigned", "unsigned, 0 runs", forged_upkeep),
    Attack("forged partitions", "scheduling.maintain_partitions, unsigned", "unsigned, 0 calls", forged_partitions),
    Attack("replayed upkeep", "one signed upkeep message three times after an hour", "1 runs", replayed_upkeep),
    Attack("forged execution", "scheduling.execute, unsigned", "unsigned, 0 started", forged_execution),
    Attack("forged canary", "scheduling.canary, unsigned", "unsigned, not answered", forged_canary),
    Attack("message of a replaced key", "signed before SECRET_KEY became a fallback", "1 jobs", rotated_key),
    *broker_cache.ATTACKS,
    *broker_consumers.ATTACKS,
    *broker_users.ATTACKS,
)
