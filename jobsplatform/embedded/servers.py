"""Real servers for development, the demonstration and the tests: started, given roles, and reliably removed."""

import fcntl
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path

from jobsplatform.embedded import reaper
from jobsplatform.embedded.binaries import postgres_program, valkey_program
from jobsplatform.embedded.postgres import admin_url, start_postgres
from jobsplatform.embedded.server_user import (
    ServerUser,
    change_owner,
    choose_server_user,
    copy_for_user,
    is_reachable_by_all,
)
from jobsplatform.embedded.supervision import HOST, bare_environment, require_free
from jobsplatform.embedded.valkey import ADMINISTRATOR, ROLES, broker_url, start_valkey
from tenants.database.bootstrap import LoginRole, bootstrap_database

DATABASE = "jobs"
OWNER_ROLE = "jobs_owner"
APP_ROLE = "jobs_app"
AUDITOR_ROLE = "jobs_auditor"
PLATFORM_ROLE = "jobs_platform"
BACKUP_ROLE = "jobs_backup"
# Creating and removing the files of tables takes most of the time of tests on a disk.
MEMORY = Path("/dev/shm")  # noqa: S108 - `mkdtemp` creates the folder in it
MEMORY_BYTES = 8 * 1024**3


class FolderInUseError(RuntimeError):
    """Other running servers use the data folder."""


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """URLs of the servers.

    Owner, auditor and administrator URLs are known only for servers that were started by this module.
    """

    database_url: str
    redis_url: str
    owner_url: str = ""
    auditor_url: str = ""
    backup_url: str = ""
    admin_url: str = ""
    redis_admin_url: str = ""
    redis_role_urls: Mapping[str, str] = field(default_factory=dict)
    mark: str = ""
    secret_key: str = ""
    scratch: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which the platform uses these servers."""
        variables = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}
        if self.redis_role_urls:
            variables["REDIS_ROLE_URLS"] = ",".join(f"{role}={url}" for role, url in self.redis_role_urls.items())
        if self.owner_url:
            variables["DATABASE_OWNER_URL"] = self.owner_url
            variables["DATABASE_AUDITOR_URL"] = self.auditor_url
            variables["DATABASE_BACKUP_URL"] = self.backup_url
            variables["DATABASE_PLATFORM_ROLE"] = PLATFORM_ROLE
            variables["POSTGRES_PROGRAMS"] = str(postgres_program().executable.parent)
        # The processes of one development platform share its sessions.
        if self.secret_key and not os.environ.get("SECRET_KEY"):
            variables["SECRET_KEY"] = self.secret_key
        # Uploads and leftovers of killed processes are removed with the folder of the run.
        if self.scratch:
            variables["TMPDIR"] = str(self.scratch)
            variables["FILES_ROOT"] = os.environ.get("FILES_ROOT") or str(self.scratch / "files")
        # The sandbox is used wherever the kernel offers one; without one, local files are still read.
        variables["EXTRACTION_WITHOUT_SANDBOX"] = os.environ.get("EXTRACTION_WITHOUT_SANDBOX") or "true"
        if self.mark:
            variables[reaper.MARK_VARIABLE] = self.mark
        return variables


@dataclass(frozen=True, slots=True)
class Passwords:
    """Generated passwords of one set of servers, and the secret key that signs its sessions."""

    administrator: str
    owner: str
    app: str
    auditor: str
    backup: str
    broker: str
    secret_key: str

    @classmethod
    def of(cls, folder: Path) -> "Passwords":
        """Return the passwords stored in the folder; create those that are missing."""
        kept = folder / "passwords.json"
        known = json.loads(kept.read_text()) if kept.exists() else {}
        made = cls(**{field.name: known.get(field.name) or secrets.token_hex(32) for field in fields(cls)})
        if asdict(made) != known:
            kept.touch(mode=0o600)
            kept.write_text(json.dumps(asdict(made)))
        return made


@contextmanager
def running_servers(
    *,
    database_url: str = "",
    redis_url: str = "",
    keep: Path | None = None,
    is_fast: bool = False,
    identity: ServerUser | None = None,
    port: int | None = None,
) -> Iterator[ServerUrls]:
    """Start the servers whose URLs are not given, yield all URLs, and stop the servers after the block.

    All other marked processes are ended too. `keep` is a folder in which the data stay; without it a temporary folder
    is used. `is_fast` gives up durability, and keeps the data in memory if there is room. PostgreSQL listens on `port`
    and Valkey on the next one, or both on free ports. Call it from the main thread, because the servers end with the
    thread that started them.
    """
    if database_url and redis_url:
        yield ServerUrls(database_url=database_url, redis_url=redis_url)
        return
    mark = secrets.token_hex(16)
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(keep, is_fast=is_fast))
        stack.enter_context(_reaper(mark, None if keep else folder))
        start = _Start(
            folder=folder,
            passwords=Passwords.of(folder),
            identity=identity or choose_server_user(),
            environment=bare_environment(reaper.MARK_VARIABLE, mark),
            is_fast=is_fast,
            port=port,
        )
        urls = ServerUrls(
            database_url=database_url,
            redis_url=redis_url,
            mark=mark,
            secret_key=start.passwords.secret_key,
            scratch=None if keep else _scratch(folder),
        )
        if not database_url:
            urls = start.postgres(stack, urls)
        if not redis_url:
            urls = start.valkey(stack, urls)
        yield urls


@dataclass(frozen=True, slots=True)
class _Start:
    """Parameters that both servers share."""

    folder: Path
    passwords: Passwords
    identity: ServerUser
    environment: dict[str, str]
    is_fast: bool
    port: int | None

    def postgres(self, stack: ExitStack, urls: ServerUrls) -> ServerUrls:
        """Start PostgreSQL and create its roles; return the URLs with those of PostgreSQL added."""
        if self.port:
            require_free(HOST, self.port)
        server = start_postgres(
            copy_for_user(self.identity, postgres_program(), self.folder / "programs"),
            self._subfolder("postgres"),
            password=self.passwords.administrator,
            identity=self.identity,
            environment=self.environment,
            is_fast=self.is_fast,
            port=self.port,
        )
        stack.callback(server.stop)
        administrator = admin_url(server.port, self.passwords.administrator)
        bootstrap_database(
            administrator,
            database=DATABASE,
            owner=LoginRole(OWNER_ROLE, self.passwords.owner),
            app=LoginRole(APP_ROLE, self.passwords.app),
            auditor=LoginRole(AUDITOR_ROLE, self.passwords.auditor),
            platform=PLATFORM_ROLE,
            backup=LoginRole(BACKUP_ROLE, self.passwords.backup),
        )
        address = f"{HOST}:{server.port}/{DATABASE}"
        return replace(
            urls,
            database_url=f"postgresql://{APP_ROLE}:{self.passwords.app}@{address}",
            owner_url=f"postgresql://{OWNER_ROLE}:{self.passwords.owner}@{address}",
            auditor_url=f"postgresql://{AUDITOR_ROLE}:{self.passwords.auditor}@{address}",
            backup_url=f"postgresql://{BACKUP_ROLE}:{self.passwords.backup}@{address}",
            admin_url=administrator,
        )

    def valkey(self, stack: ExitStack, urls: ServerUrls) -> ServerUrls:
        """Start Valkey; return the URLs with those of Valkey added."""
        port = self.port + 1 if self.port else None
        if port:
            require_free(HOST, port)
        server = start_valkey(
            copy_for_user(self.identity, valkey_program(), self.folder / "programs"),
            self._subfolder("valkey"),
            password=self.passwords.broker,
            identity=self.identity,
            environment=self.environment,
            port=port,
        )
        stack.callback(server.stop)
        url = partial(broker_url, server.port, self.passwords.broker)
        return replace(
            urls,
            redis_url=url(),
            redis_admin_url=url(ADMINISTRATOR),
            redis_role_urls={role: url(role) for role in ROLES},
        )

    def _subfolder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        change_owner(self.identity, folder)
        if self.identity is ServerUser.UNPRIVILEGED:
            self.folder.chmod(0o711)
            if not is_reachable_by_all(self.folder):
                raise PermissionError(
                    f"The servers run as another user, which cannot enter {self.folder}. Set TMPDIR to a folder "
                    "that all users can enter, such as /tmp."
                )
        return folder


@contextmanager
def _folder(keep: Path | None, *, is_fast: bool) -> Iterator[Path]:
    """Yield the folder of the servers: a temporary one, or the given one, which is locked against other runs."""
    if keep is None:
        # The reaper removes it, after the last process that writes into it.
        yield Path(tempfile.mkdtemp(prefix="jobsplatform-", dir=MEMORY if is_fast and has_room_in_memory() else None))
        return
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (keep / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(
                f"Servers are already running on {keep}. "
                "Stop them first (Ctrl-C where they run), or name another folder."
            ) from None
        yield keep.resolve()


def has_room_in_memory() -> bool:
    """Return whether `MEMORY` can hold programs and the data of tests. TMPDIR, if it is set, is used in any case."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return False
    found = os.statvfs(MEMORY)
    return found.f_bavail * found.f_frsize >= MEMORY_BYTES and not found.f_flag & os.ST_NOEXEC


def _scratch(folder: Path) -> Path:
    """Create a folder for the temporary files of this run, with the permissions of /tmp."""
    scratch = folder / "tmp"
    scratch.mkdir()
    scratch.chmod(0o1777)
    return scratch


@contextmanager
def _reaper(mark: str, folder: Path | None) -> Iterator[None]:
    """Run a process that cleans up when this one ends or is killed; after the block, wait for it."""
    arguments = [sys.executable, "-I", "-S", reaper.__file__, mark, *([str(folder)] if folder else [])]
    environment = {name: value for name, value in os.environ.items() if name != reaper.MARK_VARIABLE}
    process = subprocess.Popen(  # noqa: S603 - our own script
        arguments, stdin=subprocess.PIPE, env=environment, cwd="/", start_new_session=True
    )
    try:
        yield
    finally:
        process.communicate()
