"""Valkey, a Redis-compatible server, as broker and cache for development, with a user for each role of the platform."""

import hashlib
import signal
from pathlib import Path

import redis

from jobsplatform.embedded.binaries import Program
from jobsplatform.embedded.server_user import ServerUser, change_owner
from jobsplatform.embedded.supervision import HOST, Launch, Server, start

ACL = Path(__file__).resolve().parent.parent.parent / "deploy" / "valkey" / "users.acl"
ADMINISTRATOR = "admin"
# The user of tests and development commands: all roles together, without administration.
UNION = "tests"
# The processes that `run_platform` starts, each with a user of its own.
ROLES = ("web", "streams", "dispatcher", "worker", "beat")


def broker_url(port: int, password: str, user: str = UNION) -> str:
    """Return the URL with which a user connects to the server on this port."""
    return f"redis://{user}:{_password_of(user, password)}@{HOST}:{port}/0"


def _password_of(user: str, password: str) -> str:
    """Return the password of one user; the server's password and those of other users cannot be derived from it."""
    return hashlib.sha256(f"{user}\n{password}".encode()).hexdigest()


def _users(password: str) -> str:
    """Return the ACL file of deployments with the passwords of this server.

    Comments are removed, because the server does not accept them.
    """
    lines = (line for line in ACL.read_text().splitlines(keepends=True) if line.startswith("user "))
    text = "".join(lines)
    for user in (ADMINISTRATOR, UNION, *ROLES):
        text = text.replace(f"@{user.upper()}_PASSWORD@", _password_of(user, password))
    return text


def start_valkey(
    program: Program,
    folder: Path,
    *,
    password: str,
    identity: ServerUser,
    environment: dict[str, str],
    port: int | None = None,
) -> Server:
    """Start Valkey without files on disk: PostgreSQL stores every job, so an empty broker loses none.

    Give ``port`` to restart a killed server on its former port.
    """
    configuration = folder / "valkey.conf"
    users = folder / "users.acl"
    for file in (configuration, users):
        file.touch(mode=0o600)
        change_owner(identity, file)
    users.write_text(_users(password))

    def arguments(port: int) -> list[str]:
        # In a file, because command lines are visible to every user of the machine. A process title would overwrite the
        # environment, by which the reaper recognises its processes.
        configuration.write_text(
            f"bind {HOST}\nport {port}\naclfile {users}\n"
            'save ""\nappendonly no\nmaxmemory-policy noeviction\ndaemonize no\nset-proc-title no\n'
        )
        return [str(program.executable), str(configuration)]

    launch = Launch(
        name="Valkey",
        arguments=arguments,
        answers=lambda port: _answers(broker_url(port, password, ADMINISTRATOR)),
        stop_signal=signal.SIGTERM,
        log=folder / "valkey.log",
        folder=folder,
        identity=identity,
        environment=environment,
        port=port,
    )
    return start(launch)


def _answers(url: str) -> bool:
    """Return whether the server accepts our password."""
    client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
