"""Backups while the platform, the database and the backing-up process itself are killed, and refusing storage."""

from __future__ import annotations

import re
import resource
import time
from base64 import b64encode
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psycopg
from django.db.models import F

from jobsplatform.embedded.binaries import postgres_program
from scheduling.backups.models import Backup, BackupPlan
from scheduling.backups.plans import BACKUP_PLANS, RETRY
from scheduling.backups.target import Target
from scheduling.models import UpkeepRun
from tenants.context import acting_as, all_tenants, command_actor
from tests.acceptance.processes import ManagedProcess
from tests.chaos.row import INCONCLUSIVE, Field, Row
from tests.chaos.servers import LOGS
from tests.chaos.stack import Shape

# Of a process that imports everything on a busy machine, and then dumps and restores.
COMMAND_SECONDS = 240.0
NAMED = re.compile(r"CommandError: (backup_\w+): ")
# One session at a time: of the backup's login, or any other of the platform. A process that begins ends with a named
# error if its first session does, so those of others are older.
_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND (usename = 'jobs_backup') = %s
    AND (%s OR backend_start < now() - interval '5 seconds')
ORDER BY random() LIMIT 1
"""
# Less than the dump of an empty platform.
STORAGE_BYTES = 16 * 1024


class BackupRow(Row):
    """Row that makes backups in processes of their own, in a folder of the stack."""

    minutes = 4.0
    shape = Shape(workers=1, dispatchers=1)

    def begin(self, field: Field, *command: str) -> ManagedProcess:
        """Start a command with what backups need."""
        addresses = field.stack.addresses
        environment = {
            "DATABASE_BACKUP_URL": addresses.backup_url,
            "DATABASE_OWNER_URL": addresses.database_url(is_owner=True),
            "POSTGRES_PROGRAMS": str(postgres_program().executable.parent),
            "ENCRYPTION_MASTER_KEYS": b64encode(b"b" * 32).decode(),
        }
        log = field.stack.folder / LOGS / f"{command[0]}-{time.monotonic_ns()}.log"
        return field.stack.begin_separate(*command, log=str(log), **environment)

    def run(self, field: Field, *command: str) -> ManagedProcess:
        """Run such a command to its end."""
        process = self.begin(field, *command)
        field.stack.until(lambda: not process.is_running, within=COMMAND_SECONDS, what=f"{command[0]} ends")
        return process

    def target(self, field: Field) -> Target:
        """Return the place of the backups of this seed."""
        return Target(str(field.stack.folder / f"backups-{field.rng.randrange(1 << 32):08x}"))

    def check_drill(self, field: Field, target: Target, name: str) -> None:
        """Require that a backup is restored without a fault."""
        drill = self.run(field, "drill", f"--from={target.address}", f"--name={name}")
        if drill.status != 0:
            field.violations.append(f"the drill of {name} failed: {drill.log[-500:].strip()}")


class BackupUnderKills(BackupRow):
    id, fault = "B1", "backups while workers, dispatchers and sessions of PostgreSQL are killed, one each half second"
    bound_seconds, measured = 60.0, "from the last kill until a backup is whole, after which its drill finds nothing"
    BACKUPS = 4

    def inject(self, field: Field) -> list[float]:
        target, ended = self.target(field), 0
        for number in range(self.BACKUPS):
            before = target.names()
            process = self.begin(field, "backup", f"--to={target.address}")
            # Every second one loses a session for certain, the others by chance.
            if number % 2:
                ended += self._end_backup(field, process)
            while process.is_running:
                self._kill_one(field)
            self._check_end(field, target, process, before)
        if not ended:
            field.violations.append(f"no session of a backup was ended: {INCONCLUSIVE}")
        healed_at = time.time()
        last = self.run(field, "backup", f"--to={target.address}")
        seconds = time.time() - healed_at
        if last.status != 0:
            field.violations.append(f"the backup after the kills failed: {last.log[-500:].strip()}")
        for name in target.names():
            self.check_drill(field, target, name)
        return [seconds]

    def _end_backup(self, field: Field, process: ManagedProcess) -> bool:
        """End a session of a backup as soon as it has one; return whether it had one before it ended."""
        while process.is_running:
            if self._end_session(field, is_of_backup=True):
                return True
            field.wait(0.02, 0.05)
        return False

    def _end_session(self, field: Field, *, is_of_backup: bool) -> bool:
        with suppress(psycopg.OperationalError):
            return bool(field.view.rows(_TERMINATE, [is_of_backup, is_of_backup]))
        return False

    def _kill_one(self, field: Field) -> None:
        """Kill a process or end a session."""
        field.wait(0.2, 0.8)
        field.note_fault()
        choice = field.rng.random()
        if choice < 0.2:
            field.rng.choice(field.stack.workers).kill()
        elif choice < 0.4:
            field.rng.choice(field.stack.dispatchers).kill()
        self._end_session(field, is_of_backup=choice > 0.6)

    def _check_end(self, field: Field, target: Target, process: ManagedProcess, before: list[str]) -> None:
        """Require a whole backup, or a named error and nothing left."""
        made = [name for name in target.names() if name not in before]
        folders = {path.name for path in Path(target.address).glob("*")}
        if process.status == 0 and len(made) != 1:
            field.violations.append(f"a backup has succeeded and left {made}")
        if process.status != 0 and not NAMED.search(process.log):
            field.violations.append(f"a backup failed without a named error: {process.log[-500:].strip()}")
        if process.status != 0 and (made or folders != set(before)):
            field.violations.append(f"a failed backup has left {folders - set(before)}")


class BackupProcessKilled(BackupRow):
    id, fault = "B2", "the process of a plan's backup is killed half way; then its storage refuses half way"
    bound_seconds, measured = 60.0, "from the start of the next backup until it is stored"

    def inject(self, field: Field) -> list[float]:
        target = self.target(field)
        plan = self._make_plan(target)
        try:
            self._kill_half_way(field, target)
            self._expect_failed(field, plan, target)
            self._refuse_half_way(field)
            self._expect_failed(field, plan, target)
            began = time.time()
            self.run(field, "run_upkeep", "due_backups")
            seconds = time.time() - began
            row = self._newest(plan)
            if (row.state, target.names()) != ("stored", [row.name]):
                field.violations.append(f"the next backup is {row.state}: {row.error}; stored are {target.names()}")
            self.check_drill(field, target, row.name)
        finally:
            with acting_as(command_actor("chaos")), all_tenants():
                BACKUP_PLANS.delete(plan)
        return [seconds]

    def _make_plan(self, target: Target) -> BackupPlan:
        with acting_as(command_actor("chaos")), all_tenants():
            return BACKUP_PLANS.save(BackupPlan(), {"name": target.address[-17:], "target": target.address})

    def _kill_half_way(self, field: Field, target: Target) -> None:
        process = self.begin(field, "run_upkeep", "due_backups")
        field.stack.until(
            lambda: any(Path(target.address).glob("*/*")) or not process.is_running,
            within=COMMAND_SECONDS,
            what="a part is begun",
        )
        field.note_fault()
        if not process.is_running:
            field.violations.append(f"the process has ended before it was killed: {INCONCLUSIVE}")
        process.kill()

    def _refuse_half_way(self, field: Field) -> None:
        process = self.begin(field, "run_upkeep", "due_backups")
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (STORAGE_BYTES, hard))
        field.stack.until(lambda: not process.is_running, within=COMMAND_SECONDS, what="the refused backup ends")
        if process.status != 1:
            field.violations.append(f"the refused backup ended with {process.status}")

    def _expect_failed(self, field: Field, plan: BackupPlan, target: Target) -> None:
        """Require that the page shows a failure, and that nothing is taken for a backup; let the time pass until
        the next one is due.
        """
        field.stack.until(
            lambda: self._newest(plan).state == "failed", within=field.patience_seconds, what="the page shows a failure"
        )
        if target.names():
            field.violations.append(f"a failed backup is taken for one: {target.names()}")
        with all_tenants():
            Backup.objects.filter(plan=plan).update(taken_at=F("taken_at") - RETRY - timedelta(minutes=1))
            # The lease of a killed run is over before its plan is due again.
            UpkeepRun.objects.filter(outcome=UpkeepRun.Outcome.RUNNING).update(lease_expires_at=F("started_at"))

    def _newest(self, plan: BackupPlan) -> Backup:
        with all_tenants():
            return Backup.objects.filter(plan=plan).order_by("-taken_at")[0]


ROWS: tuple[type[Row], ...] = (BackupUnderKills, BackupProcessKilled)
