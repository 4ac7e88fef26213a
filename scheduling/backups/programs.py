"""Programs of PostgreSQL that dump and restore: their versions, and their streams."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO, Final

from django.utils.translation import gettext_noop
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scheduling.backups.exceptions import BackupProgramError
from tenants.database.platform_settings import platform_settings

_PIECE_BYTES: Final = 1024 * 1024
_MAX_ERROR_CHARACTERS: Final = 2_000
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_COPY: Final = re.compile(rb'COPY public\."?([^" ]+)"? ')
_END: Final = b"\\.\n"


def require_program(name: str, *, at_least: int) -> tuple[str, int]:
    """Return path and major version of a program; raise BackupProgramError if it is missing or older than that."""
    folder = platform_settings.POSTGRES_PROGRAMS
    path = shutil.which(name, path=folder or None)
    if path is None:
        raise BackupProgramError(
            gettext_noop(
                "%(program)s is missing: install the client programs of PostgreSQL %(version)s or newer, or name their "
                "folder in POSTGRES_PROGRAMS."
            ),
            {"program": name, "version": at_least},
        )
    ran = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - a given program
    found = _VERSION.search(ran.stdout)
    version = int(found[1]) if found else 0
    if version < at_least:
        raise BackupProgramError(
            gettext_noop(
                "%(path)s is of PostgreSQL %(version)s, and %(needed)s is needed: install newer client programs, or "
                "name their folder in POSTGRES_PROGRAMS."
            ),
            {"path": path, "version": version, "needed": at_least},
        )
    return path, version


def dump(program: str, conninfo: str, snapshot_id: str) -> Iterator[bytes]:
    """Yield the dump of the schema ``public`` in PostgreSQL's custom format; raise BackupProgramError if it fails."""
    arguments = [program, "--format=custom", "--schema=public", f"--snapshot={snapshot_id}", "--lock-wait-timeout=60s"]
    with _running(arguments, conninfo, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # asked for
        while piece := process.stdout.read(_PIECE_BYTES):
            yield piece


def load(program: str, conninfo: str, pieces: Iterable[bytes]) -> None:
    """Restore a dump into an empty database, in one transaction; raise BackupProgramError if it fails."""
    arguments = [program, "--schema=public", "--no-owner", "--single-transaction", "--exit-on-error"]
    with _running(arguments, conninfo, stdin=subprocess.PIPE) as process:
        _feed(process, pieces)


def count_dumped_rows(program: str, pieces: Iterable[bytes], roots: Mapping[str, str]) -> Counter[str]:
    """Return the rows that a dump has of each table; those of partitions count for their table in ``roots``."""
    counts: Counter[str] = Counter()
    arguments = [program, "--data-only", "--file=-"]
    with _running(arguments, "", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # asked for
        counting = Thread(target=_count_lines, args=(process.stdout, roots, counts))
        counting.start()
        try:
            _feed(process, pieces)
        except BaseException:
            process.kill()
            raise
        finally:
            counting.join()
    return counts


def _count_lines(output: IO[bytes], roots: Mapping[str, str], counts: Counter[str]) -> None:
    table = ""
    for line in output:
        if table and line == _END:
            table = ""
        elif table:
            counts[table] += 1
        elif found := _COPY.match(line):
            name = found[1].decode()
            table = roots.get(name, name)


def _feed(process: subprocess.Popen[bytes], pieces: Iterable[bytes]) -> None:
    assert process.stdin is not None  # asked for
    try:
        for piece in pieces:
            process.stdin.write(piece)
        process.stdin.close()
    except BrokenPipeError:
        # It has ended before, and its exit status and messages say why.
        return


@contextmanager
def _running(
    arguments: list[str], conninfo: str, *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block lasts; after it, raise BackupProgramError unless it ended well.

    If the block fails, the program is killed first: the end of its input would commit half a restore.
    """
    given = conninfo_to_dict(conninfo)
    environment = dict(os.environ)
    if password := given.pop("password", ""):
        environment["PGPASSWORD"] = str(password)
    if conninfo:
        arguments = [*arguments, f"--dbname={make_conninfo('', **given)}"]
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(arguments, stdin=stdin, stdout=stdout, stderr=messages, env=environment)  # noqa: S603 - a given program
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        finally:
            for pipe in filter(None, (process.stdin, process.stdout)):
                with suppress(BrokenPipeError):
                    pipe.close()
            status = process.wait()
        if status:
            messages.seek(0)
            said = messages.read().decode(errors="replace").strip()[-_MAX_ERROR_CHARACTERS:]
            raise BackupProgramError(
                gettext_noop("%(program)s failed: %(error)s"),
                {"program": Path(arguments[0]).name, "error": said or f"exit status {status}"},
            )
