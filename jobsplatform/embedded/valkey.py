"""Valkey, which speaks Redis's protocol, as broker and cache for development: on a free port, with a password."""

import signal
from pathlib import Path

import redis

from jobsplatform.embedded.binaries import Program
from jobsplatform.embedded.identity import Identity, give
from jobsplatform.embedded.supervision import HOST, Launch, Server, start


def broker_url(port: int, password: str) -> str:
    """Return the broker's URL of the server on this port."""
    return f"redis://:{password}@{HOST}:{port}/0"


def start_valkey(
    program: Program,
    folder: Path,
    *,
    password: str,
    identity: Identity,
    environment: dict[str, str],
    port: int | None = None,
) -> Server:
    """Start Valkey. It keeps nothing on disk: PostgreSQL holds every job, so an empty broker costs none.

    ``port`` is where one that was killed comes back.
    """
    configuration = folder / "valkey.conf"
    configuration.touch(mode=0o600)
    give(identity, configuration)

    def arguments(port: int) -> list[str]:
        # In a file, since command lines are visible to every user of the machine. A process title would be
        # written over the environment, by which the reaper knows its processes.
        configuration.write_text(
            f"bind {HOST}\nport {port}\nrequirepass {password}\n"
            'save ""\nappendonly no\nmaxmemory-policy noeviction\ndaemonize no\nset-proc-title no\n'
        )
        return [str(program.executable), str(configuration)]

    launch = Launch(
        name="Valkey",
        arguments=arguments,
        answers=lambda port: _answers(broker_url(port, password)),
        stop_signal=signal.SIGTERM,
        log=folder / "valkey.log",
        folder=folder,
        identity=identity,
        environment=environment,
        port=port,
    )
    return start(launch)


def _answers(url: str) -> bool:
    """Say whether the server answers to our password."""
    client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
