"""Display of the progress: on a terminal one bar for each tenant, otherwise plain lines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from jobsplatform.demo.provision import Participant
from jobsplatform.demo.readings import Counts

# A log keeps every line, so at most one is written in this time.
LINE_SECONDS = 2.0


class ProgressBoard(Protocol):
    """Interface of a display of the tenants' job counts."""

    def show(self, counts: Mapping[UUID, Counts]) -> None: ...


class BarBoard:
    """Display with a bar for each tenant on a terminal."""

    def __init__(self, progress: Progress, participants: Sequence[Participant], total: int) -> None:
        self._progress = progress
        self._bars: dict[UUID, TaskID] = {
            each.tenant_id: progress.add_task(each.slug, total=total, waiting=0, running=0, failed=0)
            for each in participants
        }

    def show(self, counts: Mapping[UUID, Counts]) -> None:
        for tenant_id, bar in self._bars.items():
            count = counts.get(tenant_id, Counts())
            self._progress.update(
                bar, completed=count.ended, waiting=count.waiting, running=count.running, failed=count.failed
            )


class LineBoard:
    """Display with plain lines, for logs and pipes."""

    def __init__(self, console: Console, participants: Sequence[Participant]) -> None:
        self._console = console
        self._participants = participants
        self._begun_at = time.monotonic()
        self._shown_at = 0.0
        self._shown: Mapping[UUID, Counts] = {}
        console.print("             waiting / running / ended")

    def show(self, counts: Mapping[UUID, Counts]) -> None:
        now = time.monotonic()
        has_ended = all(count.submitted and count.ended == count.submitted for count in counts.values())
        if counts == self._shown or (now - self._shown_at < LINE_SECONDS and not has_ended):
            return
        self._shown_at, self._shown = now, dict(counts)
        parts = [self._describe(each, counts.get(each.tenant_id, Counts())) for each in self._participants]
        self._console.print(f"  {now - self._begun_at:5.1f} s   {'   '.join(parts)}", highlight=False)

    @staticmethod
    def _describe(participant: Participant, count: Counts) -> str:
        return f"{participant.slug} {count.waiting:>3} / {count.running:>2} / {count.ended:>3}"


@contextmanager
def board(console: Console, participants: Sequence[Participant], total: int) -> Iterator[ProgressBoard]:
    """Yield the display that suits the console; each tenant has `total` documents."""
    if not console.is_terminal:
        yield LineBoard(console, participants)
        return
    columns = (
        TextColumn("  {task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[waiting]:>3} waiting  {task.fields[running]} running  {task.fields[failed]} failed"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield BarBoard(progress, participants, total)
