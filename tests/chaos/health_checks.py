"""Check of health: probes of /health/ready compared with the jobs that the witness submits meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from tests.chaos.history import READY_PAGE, STARTED, WITNESS_KEY, History, Probe, Request
from tests.chaos.terms import Terms

READY = "ready"
# An accepted job begins within this, or health stops reporting "ready" meanwhile.
START_SECONDS = 30.0
# Submissions are refused for at most this long, or health stops reporting "ready" meanwhile.
REFUSED_SECONDS = 15.0
# Health reports "degraded" or "unavailable" for at most this long while jobs are accepted and begin at once.
UNREADY_SECONDS = 25.0
PROMPT_SECONDS = 5.0
LEAST_PROMPT = 4
# Health is measured before it is reported, and cached.
LAG_SECONDS = 5.0
# Probes further apart than this belong to different seeds; in such a gap of accepted jobs the platform was away.
GAP_SECONDS = 15.0
# Code of a refusal by a rule of load, which health does not report as a fault.
BY_RULE = "overloaded"
# Checks that jobs do not need.
SPARE_CHECKS = frozenset({"auditor"})

type Wait = tuple[float, float | None]


def check_health(history: History, terms: Terms) -> list[str]:
    """Return times in which /health/ready was "ready" and no job began or was accepted, or the contrary."""
    probes = sorted((probe for probe in history.probes if probe.page == READY_PAGE), key=lambda probe: probe.at)
    witnesses = [request for request in history.requests if request.key.startswith(WITNESS_KEY)]
    waits = sorted(_waits(history, witnesses))
    return [
        *_ready_without_starts(probes, waits, START_SECONDS * terms.factor),
        *_ready_without_acceptance(probes, witnesses, REFUSED_SECONDS * terms.factor),
        *_unready_with_starts(probes, waits, UNREADY_SECONDS * terms.factor),
    ]


def _waits(history: History, witnesses: Sequence[Request]) -> Iterator[Wait]:
    """Yield when each of the witness's jobs was accepted and began."""
    for request in witnesses:
        for reply in request.replies[:1]:
            if reply.job_id is not None:
                started = [event.at.timestamp() for event in history.starts_of(reply.job_id) if event.name == STARTED]
                yield reply.at, min(started, default=None)


def _ready_without_starts(probes: Sequence[Probe], waits: Sequence[Wait], bound: float) -> list[str]:
    faults = []
    for accepted_at, started_at in waits:
        is_late = started_at is None or started_at - accepted_at > bound
        if is_late and _is_ready_throughout(probes, accepted_at, accepted_at + bound):
            waited = "never began" if started_at is None else f"began after {started_at - accepted_at:.0f} s"
            faults.append(f'health reported "ready" for {bound:.0f} s, and a job that was submitted then {waited}')
    return faults


def _ready_without_acceptance(probes: Sequence[Probe], witnesses: Sequence[Request], bound: float) -> list[str]:
    replies = sorted(
        (reply.at, reply.job_id is None) for request in witnesses for reply in request.replies if reply.code != BY_RULE
    )
    faults = []
    for is_refused, group in groupby(replies, key=lambda reply: reply[1]):
        times = [at for at, _ in group]
        if not is_refused or times[-1] - times[0] < bound:
            continue
        if _is_ready_throughout(probes, times[0] + LAG_SECONDS, times[-1]):
            faults.append(
                f'health reported "ready" while {len(times)} submissions were refused in {times[-1] - times[0]:.0f} s'
            )
    return faults


def _is_ready_throughout(probes: Sequence[Probe], since: float, until: float) -> bool:
    """Return whether the probes cover a time and are all "ready"."""
    said = [probe for probe in probes if since - GAP_SECONDS <= probe.at <= until + GAP_SECONDS]
    within = [probe for probe in said if since <= probe.at <= until]
    is_covered = bool(within) and said[0].at <= since + GAP_SECONDS and said[-1].at >= until - 1.0
    return is_covered and all(probe.state == READY for probe in within)


def _unready_with_starts(probes: Sequence[Probe], waits: Sequence[Wait], bound: float) -> list[str]:
    faults = []
    for run in _unready_runs(probes):
        since, until = run[0].at + LAG_SECONDS, run[-1].at - LAG_SECONDS
        inside = [(accepted, started) for accepted, started in waits if since <= accepted <= until]
        prompt = [one for one in inside if one[1] is not None and one[1] - one[0] <= PROMPT_SECONDS]
        lasted = _longest_stretch([accepted for accepted, _ in prompt])
        if lasted > bound - 2 * LAG_SECONDS and len(prompt) >= LEAST_PROMPT and len(prompt) == len(inside):
            said = ", ".join(sorted({f"{probe.state}: {' '.join(sorted(probe.failed))}" for probe in run}))
            faults.append(
                f"health reported {said!r} for {run[-1].at - run[0].at:.0f} s, and all {len(prompt)} jobs began"
            )
    return faults


def _longest_stretch(times: Sequence[float]) -> float:
    """Return the seconds of the longest stretch of sorted times without a gap: in a gap nothing was accepted."""
    longest, since = 0.0, times[0] if times else 0.0
    for before, at in pairwise(times):
        since = at if at - before > GAP_SECONDS else since
        longest = max(longest, at - since)
    return longest


def _unready_runs(probes: Sequence[Probe]) -> Iterator[list[Probe]]:
    """Yield runs of probes that reported a missing dependency."""
    run: list[Probe] = []
    for probe in probes:
        is_unready = probe.state not in {READY, ""} and not (probe.failed and probe.failed <= SPARE_CHECKS)
        if run and (not is_unready or probe.at - run[-1].at > GAP_SECONDS):
            yield run
            run = []
        if is_unready:
            run.append(probe)
    if run:
        yield run
