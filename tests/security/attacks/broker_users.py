"""Attacks with the Redis password of one process role, on a server with the users of deployments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import Redis, RedisError
from redis.exceptions import NoPermissionError

from jobsplatform.embedded.binaries import valkey_program
from jobsplatform.embedded.server_user import ServerUser
from jobsplatform.embedded.supervision import bare_environment
from jobsplatform.embedded.valkey import ADMINISTRATOR, ROLES, UNION, broker_url, start_valkey
from tests.security.table import Attack
from tests.security.world import World

USERS = (*ROLES, UNION)


@contextmanager
def _server() -> Iterator[int]:
    with TemporaryDirectory() as folder:
        server = start_valkey(
            valkey_program(),
            Path(folder),
            password="of the attack",
            identity=ServerUser.CALLER,
            environment=bare_environment("ATTACK", "1"),
        )
        try:
            yield server.port
        finally:
            server.stop()


def _answer(port: int, user: str, *command: str) -> str:
    with Redis.from_url(broker_url(port, "of the attack", user)) as client:
        try:
            client.execute_command(*command)
        except NoPermissionError:
            return "refused"
        except RedisError as error:
            return str(error)
    return "done"


def _users_permitted(*command: str, users: tuple[str, ...] = USERS) -> str:
    """Return the users that may run the command."""
    with _server() as port:
        assert _answer(port, ADMINISTRATOR, "PING") == "done"
        return ", ".join(user for user in users if _answer(port, user, *command) != "refused") or "no user"


def queue_of_jobs(world: World) -> str:
    return _users_permitted("LPUSH", "tasks_team", "a message", users=("web", "streams"))


def queue_of_upkeep(world: World) -> str:
    return _users_permitted("LPUSH", "maintenance", "a message", users=("streams",))


def _connection(port: int, user: str) -> Connection:
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS | {"visibility_timeout": 0}
    return Connection(broker_url(port, "of the attack", user), transport_options=options)


def _publishes(port: int, user: str, queue: str) -> bool:
    """Return whether the user may declare the queue, as the first publication of a process does, and publish to it."""
    try:
        with _connection(port, user) as connection, connection.SimpleQueue(queue) as simple:
            simple.put({}, retry=False)
    except (NoPermissionError, OperationalError):
        return False
    return True


def _publishers(queue: str) -> str:
    with _server() as port:
        return ", ".join(user for user in USERS if _publishes(port, user, queue))


def publishers_of_jobs(world: World) -> str:
    return _publishers(f"workflow.{uuid4().hex}")


def publishers_of_upkeep(world: World) -> str:
    return _publishers("maintenance")


def _consumes(port: int, user: str) -> bool:
    """Return whether the user may take a message, restore one that was held for too long, and acknowledge it."""
    name = f"workflow.{uuid4().hex}"
    assert _publishes(port, "dispatcher", name)
    try:
        with _connection(port, user) as connection, connection.SimpleQueue(name) as simple:
            simple.get(timeout=5)
            connection.default_channel.qos.restore_visible()
            simple.get(timeout=5).requeue()
            simple.get(timeout=5).ack()
    except (NoPermissionError, OperationalError):
        return False
    return True


def consumers(world: World) -> str:
    with _server() as port:
        return ", ".join(user for user in USERS if _consumes(port, user))


def taken_message(world: World) -> str:
    return _users_permitted("BRPOP", "tasks_team", "0.01", users=("web", "streams", "dispatcher", "beat"))


def key_of_others(world: World) -> str:
    return _users_permitted("SET", "unacked", "1", users=("web", "streams", "beat"))


def configuration(world: World) -> str:
    return _users_permitted("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")


def flush(world: World) -> str:
    return _users_permitted("FLUSHALL")


def flush_of_database(world: World) -> str:
    return _users_permitted("FLUSHDB")


def keys(world: World) -> str:
    return _users_permitted("KEYS", "*")


def scripts(world: World) -> str:
    return _users_permitted("SCRIPT", "FLUSH")


def users(world: World) -> str:
    return _users_permitted("ACL", "SETUSER", "web", "+@all")


def without_password(world: World) -> str:
    with _server() as port, Redis(port=port) as client:
        try:
            client.ping()
        except RedisError as error:
            return type(error).__name__
    return "done"


ATTACKS: tuple[Attack, ...] = (
    Attack("message into a queue of jobs", "LPUSH as web and streams", "no user", queue_of_jobs),
    Attack("message into the queue of upkeep", "LPUSH as streams", "no user", queue_of_upkeep),
    Attack(
        "first message to a new queue of jobs",
        "declare and publish as each role",
        "dispatcher, worker, beat, tests",
        publishers_of_jobs,
    ),
    Attack(
        "first message of upkeep",
        "declare and publish as each role",
        "web, dispatcher, worker, beat, tests",
        publishers_of_upkeep,
    ),
    Attack("messages consumed", "take, restore, requeue and end as each role", "worker, tests", consumers),
    Attack("message taken from a queue", "BRPOP as web, streams, dispatcher and beat", "no user", taken_message),
    Attack("key of the broker overwritten", "SET unacked as web, streams and beat", "no user", key_of_others),
    Attack("configuration of Redis", "CONFIG SET as each role", "no user", configuration),
    Attack("flush of Redis", "FLUSHALL as each role", "no user", flush),
    Attack("flush of a database of Redis", "FLUSHDB as each role", "no user", flush_of_database),
    Attack("keys of Redis", "KEYS as each role", "no user", keys),
    Attack("flush of scripts", "SCRIPT FLUSH as each role", "no user", scripts),
    Attack("rights in Redis", "ACL SETUSER as each role", "no user", users),
    Attack("Redis without a password", "PING without logging in", "AuthenticationError", without_password),
)
