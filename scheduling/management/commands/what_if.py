"""Command that predicts the effect of changed weights, caps or slots."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from scheduling.fairness.lab import OrderPolicy
from scheduling.fairness.lab.load import Change, UnknownNameError
from scheduling.fairness.lab.what_if import ComparedShare, ProjectedShare, WhatIf, what_if
from scheduling.fairness.lab.workload import TooManyJobsError
from scheduling.fairness.lab.workload_file import WorkloadInvalidError, load_workload
from scheduling.fairness.lab.workload_loads import load_of
from scheduling.models import CFSPlan
from scheduling.what_if.queries import answer_what_if
from tenants.management.base import PlatformCommand

BAD_FILE = 2
POLICIES = {CFSPlan.Strategy.NOP.value: OrderPolicy.FIFO, CFSPlan.Strategy.TIME_SLICE.value: OrderPolicy.TIME_SLICE}


def named(read: Callable[[str], Any]) -> Callable[[str], tuple[str, Any]]:
    """Return an argument parser for NAME=VALUE, which reads VALUE with ``read``."""

    def split(text: str) -> tuple[str, Any]:
        name, separator, value = text.rpartition("=")
        if not separator or not name:
            raise ArgumentTypeError(f"{text!r} is not NAME=VALUE")
        return name, read(value)

    return split


def whole(least: int) -> Callable[[str], int]:
    """Return an argument parser for whole numbers from ``least`` to 1,000,000."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= 1_000_000):
            raise ArgumentTypeError(f"{text!r} is not a whole number from {least} to 1,000,000")
        return int(text)

    return read


def cap(text: str) -> int | None:
    """Return the cap in a command-line argument, or None (no cap) for `none`."""
    return None if text == "none" else whole(0)(text)


def factor(text: str) -> float:
    """Return the weight factor of a tenant in a command-line argument."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.001 <= value <= 999.999:
        raise ArgumentTypeError(f"{text!r} is not a number from 0.001 to 999.999")
    return value


NAMED = {
    "weight": ("PLAN=N", whole(1), "plan_weights", "a plan's weight"),
    "cap": ("PLAN=N", whole(0), "plan_caps", "cap of jobs in flight of each tenant on a plan"),
    "factor": ("TENANT=X", factor, "tenant_factors", "a tenant's own factor of its plan's weight"),
    "tenant-cap": ("TENANT=N|none", cap, "tenant_caps", "a tenant's own cap of jobs in flight; none: its plan's"),
    "queue-weight": ("QUEUE=N", whole(1), "queue_weights", "a queue's weight, unless a tier sets it"),
    "queue-cap": ("QUEUE=N|none", cap, "queue_caps", "cap of messages in flight of a queue; none: no cap"),
    "tier-weight": ("TIER=N", whole(1), "tier_weights", "the weight of a tier's queue in the active CFS plan"),
}


class Command(PlatformCommand):
    help = "Replay the last hour, or a workload file, with the current and the changed settings. Nothing is changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name, (form, read, field, text) in NAMED.items():
            option = {"action": "append", "type": named(read), "metavar": form, "dest": field, "default": []}
            parser.add_argument(f"--{name}", help=f"{text}; may be repeated", **option)  # type: ignore[arg-type]
        parser.add_argument("--strategy", choices=list(POLICIES), help="of the active CFS plan")
        parser.add_argument("--granularity", type=whole(1), metavar="SECONDS", help="length of a time slice")
        parser.add_argument("--slots", type=whole(0), metavar="N", help="slots of the pool")
        parser.add_argument("--pool", help="default: the one that serves most queues; not with a workload file")
        parser.add_argument(
            "--workload",
            type=Path,
            metavar="FILE.toml",
            help="workload file, instead of the last hour; an entry is a plan",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        change = Change(
            **{field: dict(options[field]) for _, _, field, _ in NAMED.values()},
            policy=POLICIES[options["strategy"]] if options["strategy"] else None,
            granularity_seconds=options["granularity"],
            slots=options["slots"],
        )
        try:
            answer = self._answer(change, options)
        except (WorkloadInvalidError, TooManyJobsError, UnknownNameError) as error:
            raise CommandError(str(error), returncode=BAD_FILE) from error
        self.show(options, describe(answer), "\n".join(render(answer)))

    def _answer(self, change: Change, options: dict[str, Any]) -> WhatIf:
        if options["workload"] is None:
            return answer_what_if(change, pool=options["pool"])
        if options["pool"] is not None:
            raise CommandError("A workload file describes its own pool: omit --pool.", returncode=BAD_FILE)
        return what_if(load_of(load_workload(options["workload"])), change)


def describe(answer: WhatIf) -> dict[str, Any]:
    """Return the result as JSON data; each row also says what it loses and whether it is a loser."""
    facts = asdict(answer)
    for group in ("plans", "tenants", "losers"):
        for line, row in zip(getattr(answer, group), facts[group], strict=True):
            row |= {"lost_seconds": line.lost_seconds, "later_seconds": line.later_seconds, "is_loser": line.is_loser}
    return facts


def render(answer: WhatIf) -> Iterator[str]:
    """Yield the result as lines of text."""
    yield f"Pool {answer.pool}, {answer.seconds:.0f} s, {answer.arrivals:,} jobs; nothing is changed."
    for note in answer.notes:
        yield f"Note: {note.text}"
    yield f"Jain index {answer.now.jain:.4f} -> {answer.after.jain:.4f}"
    yield f"Busy {answer.now.busy_part:.1%} -> {answer.after.busy_part:.1%}"
    yield f"Starts {answer.now.starts:,} -> {answer.after.starts:,}"
    for title, lines in (("By plan", answer.plans), ("Losers", answer.losers), ("Most affected", answer.tenants)):
        yield ""
        yield title if lines else f"{title}: none"
        yield from (_line(line) for line in lines)


def _line(line: ComparedShare) -> str:
    return f"  {line.name:30} {_outcome(line.now)}  ->  {_outcome(line.after)}"


def _outcome(outcome: ProjectedShare) -> str:
    waits = " ".join(
        "     -" if wait is None else f"{wait:6.1f}" for wait in (outcome.wait_p50_seconds, outcome.wait_p95_seconds)
    )
    return f"{outcome.share:6.1%} of the time, {outcome.starts:7,} starts, wait p50/p95 {waits} s"
