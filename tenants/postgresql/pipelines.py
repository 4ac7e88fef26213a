"""Several statements in one way to the server and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, override

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import send
from psycopg.pq import PipelineStatus


class _AtOnce(psycopg.Pipeline):
    """The driver's pipeline, of which nothing is sent before its end.

    The driver's own sends each statement for itself, and looks before each whether there is something to read: that
    costs more than the ways that it saves, where the statements are few and short.
    """

    def add(self, command: bytes) -> None:
        """Send a command without values or rows."""
        self.command_queue.append(partial(self.pgconn.send_query_params, command, None))
        self.result_queue.append(None)

    @override
    def _communicate_gen(self) -> PQGen[None]:
        return
        yield

    @override
    def _exit_gen(self) -> PQGen[None]:
        self._enqueue_sync()
        # Into the buffer of libpq.
        while self.command_queue:
            self.command_queue.popleft()()
        yield from send(self.pgconn)
        yield from self._fetch_gen(flush=False)


@contextmanager
def at_once(raw: psycopg.Connection[Any], *, begins: bool = False, commits: bool = False) -> Iterator[None]:
    """Send the block's statements together at its end; their results are there after it, and so are their errors.

    The first error is raised; what comes after it has not run. With ``begins`` a transaction begins before them, and
    with ``commits`` it is committed after them; outside of one they are a transaction by themselves without it. A
    connection whose wait is interrupted is closed.
    """
    pipeline = raw._pipeline = _AtOnce(raw)  # noqa: SLF001 - as the driver's own `pipeline` does
    # The driver would send a BEGIN of its own before each, and wait for it.
    is_autocommit, raw._autocommit = raw._autocommit, True  # noqa: SLF001 - its setter asks the server
    try:
        with pipeline:
            if begins:
                pipeline.add(b"BEGIN")
            yield
            if commits:
                pipeline.add(b"COMMIT")
    except psycopg.OperationalError as error:
        # Whoever interrupts the wait is not hidden by what the driver makes of it.
        if error.__context__ is not None and not isinstance(error.__context__, Exception):
            raise error.__context__ from None
        raise
    finally:
        raw._pipeline, raw._autocommit = None, is_autocommit  # noqa: SLF001 - as it was
        if raw.pgconn.pipeline_status != PipelineStatus.OFF:
            raw.close()
