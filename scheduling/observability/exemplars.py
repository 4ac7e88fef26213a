"""Exemplars: for each bucket of a histogram a recent value with its trace.

The processes that share PROMETHEUS_MULTIPROC_DIR share them too, as files there, because the folder's counters have no
place for them. A process writes its file at most every few seconds.
"""

from __future__ import annotations

import json
import os
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from scheduling.observability.metrics import MULTIPROCESS_VARIABLE, PREFIX, RUNS, WAITS
from scheduling.tracing import is_sampled

WRITE_SECONDS = 5.0
# An older exemplar does not describe the present; its trace may be gone.
KEPT_SECONDS = 900.0
# Executions that run in one process at a time, at most.
MOST_RUNNING = 1_000
WAIT, RUN = f"{PREFIX}_job_wait_seconds", f"{PREFIX}_execution_run_seconds"


class Link(NamedTuple):
    """A value of a histogram with the trace context of its job, and when it was measured."""

    metric: str
    labels: Mapping[str, str]
    seconds: float
    traceparent: str
    at: float


type Links = Mapping[str, Sequence[Link]]
_links: dict[tuple[str, str, str, int], Link] = {}
_running: dict[UUID, str] = {}
_written_at = 0.0


def note_begun(execution_id: UUID, traceparent: str | None) -> None:
    """Remember the trace of an execution until it ends in this process, if it is recorded."""
    if traceparent and is_sampled(traceparent):
        if len(_running) >= MOST_RUNNING:
            _running.clear()
        _running[execution_id] = traceparent


def note_wait(queue: str, tier: str, seconds: float, execution_id: UUID) -> None:
    """Keep the wait of an execution that began as the exemplar of its bucket, if its trace is recorded."""
    if traceparent := _running.get(execution_id):
        _keep(WAIT, WAITS, queue, tier, seconds, traceparent)


def note_run(queue: str, tier: str, seconds: float, execution_id: UUID) -> None:
    """Keep the run time of an execution that ended, likewise; forget the execution."""
    if traceparent := _running.pop(execution_id, None):
        _keep(RUN, RUNS, queue, tier, seconds, traceparent)


def read() -> Links:
    """Return the recent exemplars of this process, or of all that share a folder, by metric."""
    folder, found = os.environ.get(MULTIPROCESS_VARIABLE), defaultdict[str, list[Link]](list)
    since = time.time() - KEPT_SECONDS
    for link in _read_files(Path(folder), since) if folder else [*_links.copy().values()]:
        if link.at >= since:
            found[link.metric].append(link)
    return found


def _keep(metric: str, bounds: Sequence[float], queue: str, tier: str, seconds: float, traceparent: str) -> None:
    global _written_at  # noqa: PLW0603 - of this process
    labels = {"queue": queue, "tier": tier}
    _links[metric, queue, tier, bisect_left(bounds, seconds)] = Link(metric, labels, seconds, traceparent, time.time())
    folder, now = os.environ.get(MULTIPROCESS_VARIABLE), time.monotonic()
    if folder and now - _written_at >= WRITE_SECONDS:
        _written_at = now
        written = Path(folder) / f"exemplars_{os.getpid()}.new"
        with suppress(OSError):  # a full disk must fail no job
            written.write_text(json.dumps([*_links.copy().values()]))
            written.replace(written.with_suffix(".json"))


def _read_files(folder: Path, since: float) -> Iterator[Link]:
    for path in folder.glob("exemplars_*.json"):
        if path.stat().st_mtime < since:
            path.unlink()
        else:
            yield from (Link(*values) for values in json.loads(path.read_text()))
