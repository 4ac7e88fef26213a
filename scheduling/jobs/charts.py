"""Drawing of a job's life: its attempts on a time axis, its states, and its traceback with library frames folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from scheduling.console.wording import duration_words, mark_of
from scheduling.jobs.history import ExecutionRecord

# The axis has integer units, which every language formats alike.
AXIS_UNITS = 10_000
# A shorter bar would be invisible.
LEAST_WIDTH = 20
_FRAME = re.compile(r'^ +File "(?P<path>[^"]+)", line \d+', re.ASCII)
# The paths of installed packages and of Python itself.
_LIBRARIES = re.compile(r"/(site|dist)-packages/|/lib/python3[.\d]*/|^<frozen ")


@dataclass(frozen=True, slots=True)
class AxisSpan:
    """The position and width of a bar on the time axis, in units of which the axis has AXIS_UNITS."""

    left: int
    width: int


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """A time axis from ``begins`` to ``ends``."""

    begins: datetime
    ends: datetime

    def bar(self, since: datetime, until: datetime) -> AxisSpan | None:
        """Return the bar of a period, or None if it is empty."""
        if until <= since:
            return None
        left, right = self.place(since), self.place(until)
        width = max(right - left, LEAST_WIDTH)
        return AxisSpan(min(left, AXIS_UNITS - width), width)

    def place(self, moment: datetime) -> int:
        """Return the position of a time, within the axis."""
        span = max((self.ends - self.begins).total_seconds(), 0.001)
        return round(min(max((moment - self.begins).total_seconds() / span, 0.0), 1.0) * AXIS_UNITS)


@dataclass(frozen=True, slots=True)
class GanttRow:
    """One attempt as a row of bars.

    ``queued`` is the time in the queue (only of the first attempt), ``wait`` from dispatch to start, ``run`` the run
    itself, ``pause`` the time until the next attempt. A bar is None if there is no such time.
    """

    attempt: ExecutionRecord
    worker: str
    queued: AxisSpan | None
    wait: AxisSpan | None
    run: AxisSpan | None
    pause: AxisSpan | None
    tone: str
    words: str


@dataclass(frozen=True, slots=True)
class StateSpan:
    """The time that a job spent in one state; ``is_open``: the job is still in this state."""

    state: str
    seconds: float
    is_open: bool


@dataclass(frozen=True, slots=True)
class TracebackFrames:
    """Consecutive lines of a traceback that are all of library frames, or (``is_ours``) none of them."""

    is_ours: bool
    text: str
    count: int


def draw_attempts(
    attempts: Sequence[ExecutionRecord],
    workers: Mapping[UUID, str],
    *,
    begins: datetime,
    ends: datetime,
    now: datetime,
    next_at: datetime | None,
) -> list[GanttRow]:
    """Return a row of bars for each attempt, newest first, on a time axis from ``begins`` to ``ends``.

    ``next_at`` is when the next attempt may begin, or None.
    """
    bar = TimeAxis(begins, ends).bar
    rows, following = [], next_at
    for attempt in attempts:
        ended = attempt.ended_at or now
        started = attempt.started_at or ended
        rows.append(
            GanttRow(
                attempt=attempt,
                worker=workers.get(attempt.worker_id, "") if attempt.worker_id else "",
                queued=bar(begins, attempt.dispatched_at) if attempt.number == 1 else None,
                wait=bar(attempt.dispatched_at, started),
                run=bar(started, ended) if attempt.started_at else None,
                pause=bar(ended, min(following, ends)) if following and attempt.ended_at else None,
                tone=mark_of(attempt.state).tone,
                words=_words(attempt, begins, now, following),
            )
        )
        following = attempt.dispatched_at
    return rows


def trace_states(changes: Iterable[tuple[datetime, str]], *, now: datetime, is_over: bool) -> list[StateSpan]:
    """Return how long a job was in each state, from its events, oldest first.

    Consecutive events with the same state count as one span. ``is_over``: the job has ended.
    """
    moved = [next(group) for _state, group in groupby(changes, key=lambda change: change[1])]
    stretches = []
    for index, (since, state) in enumerate(moved):
        is_last = index + 1 == len(moved)
        until = now if is_last else moved[index + 1][0]
        seconds = 0.0 if is_last and is_over else max(0.0, (until - since).total_seconds())
        stretches.append(StateSpan(state, seconds, is_last and not is_over))
    return stretches


def fold_traceback(text: str) -> list[TracebackFrames]:
    """Split a traceback into parts: runs of library frames, which the page folds, and the lines between them."""
    parts: list[TracebackFrames] = []
    for is_library, group in groupby(_frames(text), key=lambda frame: frame[0]):
        found = [frame for _is_library, frame in group]
        parts.append(TracebackFrames(not is_library, "\n".join(found), len(found)))
    return parts


def _frames(text: str) -> Iterator[tuple[bool, str]]:
    """Yield each frame with its source lines, and each other line; whether it is a library's, and its text."""
    lines: list[str] = []
    is_library = False
    for line in text.splitlines():
        match = _FRAME.match(line)
        # A frame's source lines are indented further than its head; any other line starts a new part.
        goes_on = bool(lines) and match is None and line.startswith("    ")
        if not goes_on and lines:
            yield is_library, "\n".join(lines)
            lines = []
        if not goes_on:
            is_library = match is not None and _LIBRARIES.search(match["path"]) is not None
        lines.append(line)
    if lines:
        yield is_library, "\n".join(lines)


def _words(attempt: ExecutionRecord, begins: datetime, now: datetime, following: datetime | None) -> str:
    queued = [_("queued %s") % duration_words(attempt.dispatched_at - begins)] if attempt.number == 1 else []
    predicted = _("predicted %s") % duration_words(attempt.predicted_seconds)
    if attempt.started_at is None:
        handed_out = _("dispatched %s") % duration_words((attempt.ended_at or now) - attempt.dispatched_at)
        return ", ".join([*queued, handed_out, predicted])
    waited = _("waited %s") % duration_words(attempt.started_at - attempt.dispatched_at)
    ran = _("ran %s") % duration_words((attempt.ended_at or now) - attempt.started_at)
    words = [*queued, waited, ran, predicted]
    if following and attempt.ended_at and following > attempt.ended_at:
        words.append(_("next attempt after %s") % duration_words(following - attempt.ended_at))
    return ", ".join(words)


def folded_words(frames: TracebackFrames) -> str:
    """Return the text shown in place of folded frames."""
    return ngettext("%d frame of libraries", "%d frames of libraries", frames.count) % frames.count
