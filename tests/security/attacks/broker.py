"""Attacks with write access to Redis."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client, override_settings
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from redis import Redis

from scheduling import message_signing
from scheduling.conf import CANARY_TASK, RUN_UPKEEP_TASK
from scheduling.dashboards import overview
from scheduling.limits import MAX_WAITING_JOBS
from scheduling.models import Job, UpkeepRun
from scheduling.selectors import routes
from scheduling.tasks import upkeep
from scheduling.tasks.upkeep import SUBMIT_TASK
from tenants.context import all_tenants, tenant_context
from tenants.selectors import limits
from tenants.selectors import settings as tenant_settings
from tenants.services.settings import change_settings
from tenants.shared_cache import SharedCache
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


def _told(refused: list[str], left: str) -> str:
    return ", ".join([*refused, left])


def forged_submission(world: World) -> str:
    return _told(receive(forge(SUBMIT_TASK, [], WORK)), _jobs())


def guessed_signature(world: World) -> str:
    return _told(receive(forge(SUBMIT_TASK, [], WORK, signature="00" * 32, signed_at="9e9")), _jobs())


def key_of_another_platform(world: World) -> str:
    with override_settings(SECRET_KEY="the attacker's own"):
        message = published(SUBMIT_TASK, [], WORK)
    return _told(receive(message), _jobs())


def altered_arguments(world: World) -> str:
    message = published(SUBMIT_TASK, [], {"tenant": "aaa", "kind": "noop"})
    return _told(receive(altered(message, body=[[], WORK, {}])), _jobs())


def altered_time(world: World) -> str:
    message = published(SUBMIT_TASK, [], WORK)
    return _told(receive(altered(message, headers={"signed_at": "9000000000.000"})), _jobs())


def altered_id(world: World) -> str:
    message = published(SUBMIT_TASK, [], WORK)
    return _told(receive(altered(message, headers={"id": "another"})), _jobs())


def signature_of_another_task(world: World) -> str:
    message = published(CANARY_TASK, [], WORK)
    return _told(receive(altered(message, headers={"task": SUBMIT_TASK})), _jobs())


def replayed_submission(world: World) -> str:
    message = published(SUBMIT_TASK, [], WORK)
    return _told(receive(*[message] * 5), _jobs())


def replayed_due_time(world: World) -> str:
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="often", task=SUBMIT_TASK, interval=every)
    message = published(SUBMIT_TASK, [], WORK, periodic_task_name="often")
    now = message_signing.time.time()
    refused = receive(message)
    # Many due times later.
    with patch.object(message_signing.time, "time", lambda: now + 3_600):
        return _told([*refused, *receive(message)], _jobs())


def submission_replayed_after_a_day(world: World) -> str:
    message = published(SUBMIT_TASK, [], WORK)
    now = message_signing.time.time()
    with patch.object(message_signing.time, "time", lambda: now + A_DAY):
        return _told(receive(message), _jobs())


def forged_upkeep(world: World) -> str:
    return _told(receive(forge(RUN_UPKEEP_TASK, ["partitions"], {})), _runs())


def forged_partitions(world: World) -> str:
    made: list[str] = []
    with patch.object(upkeep, "make_partitions", lambda: made.append("made")):
        return _told(receive(forge("scheduling.maintain_partitions", [], {})), f"{len(made)} calls")


def replayed_upkeep(world: World) -> str:
    now = message_signing.time.time()
    with patch.object(message_signing.time, "time", lambda: now - 3_600):
        message = published(RUN_UPKEEP_TASK, ["partitions"], {})
    return _told(receive(message, message, message), _runs())


def forged_execution(world: World) -> str:
    token = "8ab3c1d6-0c5c-4f0e-9a39-3f3c4f3b6f10"
    return _told(receive(forge("scheduling.execute", [[token], token], {})), "0 started")


def forged_canary(world: World) -> str:
    return _told(receive(forge("scheduling.canary", [7], {})), "not answered")


def rotated_key(world: World) -> str:
    """A message that waited while SECRET_KEY was replaced is no attack: with the fallback it is accepted."""
    message = published(SUBMIT_TASK, [], WORK)
    with override_settings(SECRET_KEY="the next one", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        return _told(receive(message), _jobs())


# What is kept in Redis --------------------------------------------------------------------------------------


@contextmanager
def _kept(of: SharedCache[Any]) -> Iterator[Redis]:
    """Turn the cache on, with nothing in memory; yield a connection that writes into Redis."""
    of._kept.clear()
    with override_settings(CONFIGURATION_CACHE_SECONDS=60.0), _redis() as client:
        yield client
    of._kept.clear()


def _redis() -> Redis:
    return Redis.from_url(str(settings.CACHES["default"]["LOCATION"]))


def _planted(of: SharedCache[Any], key: str, document: Any, read: Callable[[], Any]) -> Any:
    """Return what the platform reads after the document was put in the place of its own."""
    with _kept(of) as client:
        name = of._name_of(key)
        client.set(name, json.dumps(document), px=60_000)
        try:
            return read()
        finally:
            client.delete(name)


def forged_limits(world: World) -> str:
    document = [[MAX_WAITING_JOBS.key, 10**9, "override", None]]

    def read() -> Any:
        with tenant_context(world.aaa):
            return limits.kept_limits(world.aaa.pk, only=[MAX_WAITING_JOBS])[MAX_WAITING_JOBS.key].allowed

    allowed = _planted(limits._kept, str(world.aaa.pk), document, read)
    return "the plan's limit" if allowed == read() else f"{allowed} allowed"


def forged_settings(world: World) -> str:
    read = lambda: tenant_settings.settings_of(world.zeta.pk)["timezone"]  # noqa: E731
    return str(_planted(tenant_settings._kept, str(world.zeta.pk), {"timezone": "Asia/Tokyo"}, read))


def forged_routes(world: World) -> str:
    document = {"pools": [], "queues": [], "rules": [], "targets": [], "tiers": {}}
    found = _planted(routes._kept, "all", document, routes.kept_routes)
    return "routes of the database" if found.tier_queues else "no routes"


def settings_of_another_tenant(world: World) -> str:
    change_settings(tenant=world.aaa, values={"timezone": "Asia/Tokyo"})
    kept = tenant_settings._kept
    with _kept(kept) as client:
        tenant_settings.settings_of(world.aaa.pk)
        names = [kept._name_of(str(tenant.pk)) for tenant in (world.aaa, world.zeta)]
        client.set(names[1], client.get(names[0]) or b"", px=60_000)
        try:
            return str(tenant_settings.settings_of(world.zeta.pk)["timezone"])
        finally:
            client.delete(*names)


def forged_page(world: World) -> str:
    User.objects.create_superuser("stella", password="a password of the world")
    client = Client()
    client.force_login(User.objects.get(username="stella"))
    prefix, name = settings.CACHES["default"]["KEY_PREFIX"], overview._kept_body.name
    database = PeriodicTask.objects.db
    place = f"{prefix}:kept:{_database(database)}:{name}:all:en:bulk"
    with override_settings(CONFIGURATION_CACHE_SECONDS=60.0), _redis() as planted:
        planted.set(place, json.dumps("<script>attack()</script>"), px=60_000)
        try:
            page = client.get(reverse("admin:overview_fragment")).content
        finally:
            planted.delete(place)
            overview._kept_body.__init__(name)  # type: ignore[misc]
    return "the attacker's page" if b"attack()" in page else "the platform's own page"


def _database(alias: str) -> str:
    from django.db import connections

    return str(connections[alias].settings_dict["NAME"])


class _Payload:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


def pickled_value(world: World) -> str:
    with TemporaryDirectory() as folder, _redis() as client:
        ran = Path(folder) / "ran"
        client.set(cache.make_key("attack"), pickle.dumps(_Payload(ran)))
        try:
            answer = repr(cache.get("attack"))
        except ValueError:
            answer = "ValueError"
        finally:
            client.delete(cache.make_key("attack"))
        return "code ran" if ran.exists() else f"{answer}, no code ran"


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
    Attack("forged upkeep", "scheduling.run_upkeep, unsigned", "unsigned, 0 runs", forged_upkeep),
    Attack("forged partitions", "scheduling.maintain_partitions, unsigned", "unsigned, 0 calls", forged_partitions),
    Attack("replayed upkeep", "one signed upkeep message three times after an hour", "1 runs", replayed_upkeep),
    Attack("forged execution", "scheduling.execute, unsigned", "unsigned, 0 started", forged_execution),
    Attack("forged canary", "scheduling.canary, unsigned", "unsigned, not answered", forged_canary),
    Attack("message of a replaced key", "signed before SECRET_KEY became a fallback", "1 jobs", rotated_key),
    Attack("forged limits", "a limit of a thousand million in Redis", "the plan's limit", forged_limits),
    Attack("forged settings", "another tenant's settings in Redis", "UTC", forged_settings),
    Attack("forged routes", "no routes at all in Redis", "routes of the database", forged_routes),
    Attack(
        "settings moved to another tenant", "a signed document under another key", "UTC", settings_of_another_tenant
    ),
    Attack("forged page", "a script in the place of the console's kept HTML", "the platform's own page", forged_page),
    Attack("pickled value", "a pickle in Django's cache", "ValueError, no code ran", pickled_value),
)
