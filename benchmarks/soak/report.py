"""What a run found, as a page: what grew, what was lived through, what was left in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.outcome import Outcome
from benchmarks.soak.growth import WARM_UP_SECONDS
from benchmarks.soak.limits import Line, judge
from benchmarks.soak.run import COUNTED_PART, FAULTY_PART, Soak

HEADING = ("what", "of whom", "least–greatest", "slope a minute", "limit", "")


def report(soak: Soak) -> Outcome:
    """The page, and whether nothing grew and nothing was lost."""
    lines = list(judge(soak.samples.by_measure, since=soak.counts_since))
    violations = [*soak.violations, *(f"{line.name} grows ({line.limit.measure})" for line in lines if not line.is_met)]
    return Outcome(
        name="soak",
        title="A long life in a short time",
        rows=[HEADING, *(line.cells() for line in lines)],
        target="every accepted job ends, ledger and audit log verify, nothing grows beyond its limit",
        is_met=not violations,
        verdict="met" if not violations else f"missed: {'; '.join(violations[:8])}".replace("|", "/"),
        method="\n".join(_method(soak, lines)),
        reproduce=f"make soak MINUTES={soak.minutes:g} SEED={soak.seed}",
    )


def _method(soak: Soak, lines: Sequence[Line]) -> Iterator[str]:
    counted, seen = 100 * (1 - COUNTED_PART), sum(line.growth.per_minute is not None for line in lines)
    yield (
        "Real web server, two dispatchers, two workers of two slots, one for maintenance and beat, "
        f"{soak.minutes:g} minutes under the load of four tenants, seed {soak.seed}, faults in the first "
        f"{100 * FAULTY_PART:.0f} %. A slope is the median over all pairs of looks at the same process, 20 s apart or "
        f"more, in the last {counted:.0f} % without each process's first {WARM_UP_SECONDS:.0f} s, so that neither a "
        f"spike nor a restart bends it; {seen} of {len(lines)} series were seen long enough. Tables are those through "
        "which every job passes."
    )
    yield ""
    drained = "not drained in time" if soak.drained_seconds is None else f"drained in {soak.drained_seconds:.0f} s"
    yield f"- {soak.accepted:,} jobs in the clients' logs of accepted ones; after the load {drained}."
    yield f"- All jobs, with those of documents and schedules: {_counts(soak.states)}."
    yield f"- Executions: {_counts(soak.outcomes)}."
    answers = {str(status): count for status, count in sorted(soak.answers.items())}
    yield f"- Answers: {_counts(answers)}; {soak.refused_connections:,} requests found no web server (a deploy)."
    told = [f"`{name}` {objection or 'is content'}" for name, objection in soak.verified]
    yield f"- {', '.join(told)}."
    ends = "; ".join(sorted(set(soak.unasked_ends)))
    yield f"- Processes that ended without being asked, and were started again: {ends or 'none'}."
    yield ""
    yield "| fault | times | next start of a job after it was over, median | greatest |"
    yield "| --- | --- | --- | --- |"
    for name, seconds in sorted(_by_name(soak).items()):
        seen = [value for value in seconds if value is not None]
        cells = (f"{median(seen):.2f} s", f"{max(seen):.2f} s") if seen else ("–", "–")
        yield f"| {name} | {len(seconds)} | {cells[0]} | {cells[1]} |"


def _by_name(soak: Soak) -> Mapping[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for fault, seconds in zip(soak.healed, soak.flows, strict=True):
        found.setdefault(fault.name, []).append(seconds)
    return found


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
