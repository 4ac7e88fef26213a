"""Report of a run: growth, faults, and the final state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.harness.outcome import Outcome
from tests.chaos.row import Row
from tests.chaos.soak.growth import WARM_UP_SECONDS
from tests.chaos.soak.limits import Line, judge
from tests.chaos.soak.run import COUNTED_PART, FAULTY_PART, Soak

HEADING = ("what", "of whom", "least–greatest", "slope a minute", "limit", "")
MOST_NAMED = 8


def report(soak: Soak) -> Outcome:
    """Return the page, and whether no promise was broken and nothing grew."""
    lines = list(judge(soak.samples.by_measure, since=soak.counts_since))
    violations = [*soak.violations, *(f"{line.name} grows ({line.limit.measure})" for line in lines if not line.is_met)]
    return Outcome(
        name="soak",
        title="Faults of every kind in one long run",
        rows=[HEADING, *(line.cells() for line in lines)],
        target="every accepted job ends, every promise holds, all checks agree, nothing grows beyond its limit",
        is_met=not violations,
        verdict="met" if not violations else f"missed: {'; '.join(violations[:MOST_NAMED])}".replace("|", "/"),
        method="\n".join(_method(soak, lines)),
        measured_on=soak.measured_on,
        reproduce=f"make soak MINUTES={soak.minutes:g} SEED={soak.seed}",
    )


def _method(soak: Soak, lines: Sequence[Line]) -> Iterator[str]:
    counted, seen = 100 * (1 - COUNTED_PART), sum(line.growth.per_minute is not None for line in lines)
    yield (
        "Real web server, dispatchers, workers, auditor, maintenance and beat, "
        f"{soak.minutes:g} minutes under the load of seven tenants, seed {soak.seed}; in the first "
        f"{100 * FAULTY_PART:.0f} % {len(soak.injected)} faults, drawn from the {soak.shared} rows of the fault table "
        "that can share a stack. A slope is the median over all pairs of looks at the same process, 20 s apart or "
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
    yield f"- Responses to the mixed load: {_counts(answers)}; {soak.refused_connections:,} requests had none."
    found = [f"`{name}` {objection or 'finds nothing'}" for name, objection in soak.verified]
    yield f"- {', '.join(found)}."
    yield ""
    yield "| row | fault | times | greatest recovery | its bound when it has a stack of its own |"
    yield "| --- | --- | --- | --- | --- |"
    for row, all_seconds in sorted(_by_row(soak).items(), key=lambda one: one[0].id):
        seconds = [second for recoveries in all_seconds for second in recoveries]
        worst = f"{max(seconds):.2f} s" if seconds else "–"
        yield f"| {row.id} | {row.fault} | {len(all_seconds)} | {worst} | ≤ {row.bound_seconds:g} s |"


def _by_row(soak: Soak) -> Mapping[type[Row], list[Sequence[float]]]:
    found: dict[type[Row], list[Sequence[float]]] = {}
    for one in soak.injected:
        found.setdefault(one.row, []).append(one.recoveries)
    return found


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
