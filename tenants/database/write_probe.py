"""A probe of whether PostgreSQL accepts writes, which the answer to a SELECT does not show.

The probe writes to the write-ahead log and to the data disk, and leaves nothing there: a logical message, flushed by
the commit, and a result too large for memory, which PostgreSQL puts into a temporary file. So it finds a read-only
standby and a full disk. Each process probes at most once in five seconds.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.utils.translation import gettext

from tenants.database.prepared import set_config
from tenants.database.sql import load_sql

KEPT_SECONDS = 5.0
# Settings of the transaction: short waits, the least memory possible, and the disk of the tables.
_SETTINGS = {"statement_timeout": "3000", "lock_timeout": "1000", "work_mem": "64kB", "temp_tablespaces": ""}
_PROBE = load_sql(__file__)["probe_writes"]
READ_ONLY = "PostgreSQL is read-only."
# Followed by PostgreSQL's own message.
REFUSED = "PostgreSQL does not accept writes: "


def find_write_fault() -> str:
    """Try to write, and return why that failed; return an empty string if it succeeded.

    It runs a transaction of its own and closes this thread's connection.
    """
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute(*set_config(_SETTINGS))
            cursor.execute(_PROBE)
            is_read_only, *_ = cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        return f"{REFUSED}{_first_line(error)}"
    finally:
        connection.close()
    return READ_ONLY if is_read_only else ""


def localize_write_fault(fault: str) -> str:
    """Return a fault that `find_write_fault` has returned, in the active language; an empty string for none."""
    if fault.startswith(REFUSED):
        return gettext("PostgreSQL does not accept writes: %(reason)s") % {"reason": fault.removeprefix(REFUSED)}
    return gettext("PostgreSQL is read-only") if fault else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@dataclass
class WriteWatch:
    """The last result of this process's write probe. While one thread probes, other threads wait for its result."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _probe_again_at: float = 0.0
    _fault: str = ""

    def read(self) -> str:
        """Return the fault found by a probe at most KEPT_SECONDS ago; an empty string if there was none.

        The probe runs in its own thread and connection, because the caller may be inside a transaction.
        """
        with self._lock:
            if time.monotonic() >= self._probe_again_at:
                with ThreadPoolExecutor(max_workers=1) as thread:
                    self._fault = thread.submit(find_write_fault).result()
                self._probe_again_at = time.monotonic() + KEPT_SECONDS
            return self._fault


write_watch = WriteWatch()
