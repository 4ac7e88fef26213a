"""Numbers and states in words: a state is never shown by a colour alone, a number with no more digits than needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from scheduling.breakers.queries import OF_TENANTS
from scheduling.breakers.rules import CircuitState
from scheduling.jobs.lifecycle import JobState
from scheduling.models import DeadLetter, Execution, LiveExecution, TenantUpkeepRun, UpkeepRun, Worker
from scheduling.shares.verdicts import EntitlementState
from scheduling.topology.queue_rows import QueueRow

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
SHOWN_CIRCUITS = 5


@dataclass(frozen=True, slots=True)
class Mark:
    """How a state is shown: a glyph, a word and a colour tone (good, busy, wait, warn, bad, quiet)."""

    glyph: str
    word: str
    tone: str


_O, _V = Execution.Outcome, EntitlementState
MARKS: dict[str, Mark] = {
    JobState.SCHEDULED: Mark("◷", gettext_noop("scheduled"), "wait"),
    JobState.AVAILABLE: Mark("○", gettext_noop("available"), "wait"),
    JobState.DISPATCHED: Mark("▷", gettext_noop("dispatched"), "busy"),
    LiveExecution.Phase.HELD: Mark("◔", gettext_noop("held by a worker, not begun"), "busy"),
    JobState.EXECUTING: Mark("▶", gettext_noop("executing"), "busy"),
    JobState.RETRYABLE: Mark("↻", gettext_noop("retryable"), "warn"),
    JobState.SUSPENDED: Mark("‖", gettext_noop("suspended"), "warn"),
    JobState.COMPLETED: Mark("✓", gettext_noop("completed"), "good"),
    JobState.CANCELLED: Mark("⊘", gettext_noop("cancelled"), "quiet"),
    JobState.DISCARDED: Mark("✕", gettext_noop("discarded"), "bad"),
    JobState.QUARANTINED: Mark("⚠", gettext_noop("quarantined"), "bad"),
    _O.FAILED: Mark("✕", gettext_noop("failed"), "bad"),
    _O.TIMED_OUT: Mark("⧖", gettext_noop("timed out"), "bad"),
    _O.CRASHED: Mark("⚠", gettext_noop("crashed"), "bad"),
    _O.EXPIRED: Mark("⧖", gettext_noop("deadline passed"), "bad"),
    _O.YIELDED: Mark("⇄", gettext_noop("yielded"), "quiet"),
    _O.SHUTDOWN: Mark("⇄", gettext_noop("worker shut down"), "quiet"),
    _O.UNPUBLISHED: Mark("⇄", gettext_noop("not published"), "quiet"),
    _O.RETURNED: Mark("⇄", gettext_noop("returned before its start"), "quiet"),
    _O.PUT_OFF: Mark("⇄", gettext_noop("snoozed by the job"), "quiet"),
    _O.SNOOZED: Mark("⇄", gettext_noop("dependency unavailable"), "quiet"),
    _V.BELOW: Mark("▼", gettext_noop("below its share"), "bad"),
    _V.FAIR: Mark("●", gettext_noop("fair"), "good"),
    _V.ABOVE: Mark("▲", gettext_noop("above its share"), "warn"),
    _V.IDLE: Mark("○", gettext_noop("no backlog"), "quiet"),
    _V.UNKNOWN: Mark("○", gettext_noop("not compared"), "quiet"),
    _V.OUT_OF_WORKER_TIME: Mark("⧗", gettext_noop("month used up"), "warn"),
    _V.AT_CAP: Mark("◆", gettext_noop("at its cap"), "wait"),
    Worker.Status.ONLINE: Mark("●", gettext_noop("online"), "good"),
    Worker.Status.DRAINING: Mark("◒", gettext_noop("draining"), "warn"),
    Worker.Status.STOPPING: Mark("◐", gettext_noop("stopping"), "warn"),
    Worker.Status.STOPPED: Mark("○", gettext_noop("stopped"), "quiet"),
    TenantUpkeepRun.Outcome.REQUESTED: Mark("◷", gettext_noop("requested"), "wait"),
    UpkeepRun.Outcome.OK: Mark("✓", gettext_noop("ok"), "good"),
    UpkeepRun.Outcome.PARTIAL: Mark("◐", gettext_noop("more to do"), "busy"),
    "fire_submitted": Mark("✓", gettext_noop("submitted"), "good"),
    "fire_waiting": Mark("◷", gettext_noop("waits"), "wait"),
    "fire_skipped_overlap": Mark("⇄", gettext_noop("skipped"), "quiet"),
    "fire_skipped_missed": Mark("⧖", gettext_noop("missed"), "warn"),
    "fire_refused": Mark("✕", gettext_noop("refused"), "bad"),
    "batch_open": Mark("○", gettext_noop("open"), "wait"),
    "batch_running": Mark("▶", gettext_noop("running"), "busy"),
    "batch_cancelling": Mark("◐", gettext_noop("cancelling"), "warn"),
    "batch_completed": Mark("✓", gettext_noop("completed"), "good"),
    "batch_failed": Mark("✕", gettext_noop("ended with failures"), "bad"),
    "batch_cancelled": Mark("⊘", gettext_noop("cancelled"), "quiet"),
    "alert_info": Mark("●", gettext_noop("info"), "quiet"),
    "alert_warning": Mark("▲", gettext_noop("warning"), "warn"),
    "alert_critical": Mark("◆", gettext_noop("critical"), "bad"),
    "alert_pending": Mark("◷", gettext_noop("pending"), "wait"),
    "alert_firing": Mark("▲", gettext_noop("firing"), "bad"),
    "alert_resolved": Mark("✓", gettext_noop("resolved"), "good"),
    "backup_stored": Mark("✓", gettext_noop("stored"), "good"),
    "backup_running": Mark("▶", gettext_noop("running"), "busy"),
    "backup_failed": Mark("✕", gettext_noop("Failed"), "bad"),
    "backup_deleted": Mark("⊘", gettext_noop("deleted"), "quiet"),
    "load_normal": Mark("●", gettext_noop("normal"), "good"),
    "load_busy": Mark("◔", gettext_noop("busy"), "wait"),
    "load_overloaded": Mark("▲", gettext_noop("overloaded"), "warn"),
    "load_brown_out": Mark("◆", gettext_noop("brown-out"), "bad"),
    "bulk_pending": Mark("○", gettext_noop("pending"), "wait"),
    "bulk_running": Mark("▶", gettext_noop("running"), "busy"),
    "bulk_completed": Mark("✓", gettext_noop("completed"), "good"),
    "bulk_aborted": Mark("⊘", gettext_noop("aborted"), "warn"),
    "bulk_failed": Mark("✕", gettext_noop("failed"), "bad"),
    "loses": Mark("▼", gettext_noop("loses"), "bad"),
    "gains": Mark("▲", gettext_noop("gains"), "good"),
    "unchanged": Mark("●", gettext_noop("about the same"), "quiet"),
    CircuitState.COUNTING: Mark("◔", gettext_noop("counting failures"), "warn"),
    CircuitState.OPEN: Mark("⊘", gettext_noop("open"), "bad"),
    CircuitState.HALF_OPEN: Mark("◐", gettext_noop("half open"), "warn"),
    CircuitState.CLOSING: Mark("↻", gettext_noop("closing"), "busy"),
    CircuitState.FORCED_OPEN: Mark("⊘", gettext_noop("forced open"), "bad"),
    CircuitState.FORCED_CLOSED: Mark("●", gettext_noop("forced closed"), "warn"),
    "overdue": Mark("⧖", gettext_noop("overdue"), "bad"),
    "silent": Mark("▼", gettext_noop("silent"), "bad"),
    "canary_late": Mark("▼", gettext_noop("canary late"), "bad"),
    "paused": Mark("‖", gettext_noop("paused"), "warn"),
    "running": Mark("●", gettext_noop("running"), "good"),
    "active": Mark("●", gettext_noop("active"), "good"),
    "inactive": Mark("○", gettext_noop("inactive"), "quiet"),
    "waiting": Mark("✕", gettext_noop("not requeued"), "bad"),
    "requeued": Mark("↻", gettext_noop("requeued"), "good"),
    DeadLetter.Reason.PERMANENT_ERROR: Mark("✕", gettext_noop("permanent error"), "bad"),
    DeadLetter.Reason.ATTEMPTS_EXHAUSTED: Mark("↻", gettext_noop("attempts exhausted"), "bad"),
    DeadLetter.Reason.DEADLINE_PASSED: Mark("⧖", gettext_noop("deadline passed"), "bad"),
    DeadLetter.Reason.RETRY_PAST_DEADLINE: Mark("⧗", gettext_noop("no retry before its deadline"), "bad"),
    DeadLetter.Reason.CRASHED_WORKERS: Mark("⚠", gettext_noop("crashed its workers"), "bad"),
}


def mark_of(name: str) -> Mark:
    """Return how a state is shown, with its word translated; an unknown state gets a neutral mark."""
    known = MARKS.get(str(name))
    if known is None:
        return Mark("·", str(name).replace("_", " "), "quiet")
    return replace(known, word=_(known.word))


def duration_words(value: float | timedelta | None) -> str:
    """Return a duration in its two greatest units, such as `3 min 12 s`, or a dash for None; a number is in seconds."""
    if value is None:
        return "–"
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    seconds = max(0.0, seconds)
    if seconds < 1:
        return _("%(number)s ms") % {"number": f"{seconds * 1000:.0f}"}
    if seconds < 10:
        return _("%(number)s s") % {"number": f"{seconds:.1f}"}
    if seconds < _MINUTE:
        return _("%(number)s s") % {"number": f"{seconds:.0f}"}
    if seconds < _HOUR:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": seconds // _MINUTE, "seconds": seconds % _MINUTE}
    if seconds < _DAY:
        return _("%(hours)d h %(minutes)d min") % {"hours": seconds // _HOUR, "minutes": seconds % _HOUR // _MINUTE}
    return _("%(days)d d %(hours)d h") % {"days": seconds // _DAY, "hours": seconds % _DAY // _HOUR}


def signed_words(microseconds: int | None) -> str:
    """Return a number of microseconds as a signed duration, such as `+3.2 s` or `−12 ms`."""
    if microseconds is None:
        return "–"
    seconds = abs(microseconds) / 1_000_000
    sign = "−" if microseconds < 0 else "+"
    if seconds < 1:
        return _("%(number)s ms") % {"number": f"{sign}{seconds * 1000:,.0f}"}
    return _("%(number)s s") % {"number": f"{sign}{seconds:,.1f}"}


def lag_words(microseconds: int | None) -> str:
    """Return how far a tenant is behind or ahead of its ideal share, such as `▼ 1.2 s behind`.

    Less than a millisecond counts as no difference.
    """
    if microseconds is None:
        return "–"
    if abs(microseconds) < 1_000:
        return _("● at its ideal share")
    distance = {"distance": signed_words(microseconds)[1:]}
    return _("▼ %(distance)s behind") % distance if microseconds > 0 else _("▲ %(distance)s ahead") % distance


# Reasons of picks by the code in their events.
PICK_REASONS = {
    "least_virtual_time": gettext_noop("least virtual time"),
    "arrival_order": gettext_noop("order of arrival"),
    "tie": gettext_noop("tie: fewest in flight, or waits longest"),
    "tie_in_flight": gettext_noop("tie: fewest in flight"),
    "tie_longest_waiting": gettext_noop("tie: waits longest"),
    "only_candidate": gettext_noop("the only one eligible"),
    "reserved": gettext_noop("a reserved slot"),
}


# Competitors of a pick by the code of the level.
PICK_LEVELS = {
    "queue": gettext_noop("queues"),
    "tenant": gettext_noop("tenants of the queue"),
    "key": gettext_noop("keys of the tenant"),
}


def level_words(level: str) -> str:
    """Return the level of the tree that decided a dispatch in words, or a dash if there was no alternative."""
    return _(PICK_LEVELS[level]) if level in PICK_LEVELS else "–"


def pick_words(reason: str) -> str:
    """Return in words why a job was dispatched next, or a dash if no reason was recorded."""
    return _(PICK_REASONS[reason]) if reason in PICK_REASONS else reason.replace("_", " ") or "–"


def percent_words(part: float | None) -> str:
    """Return a fraction as a percentage, with one decimal below 10 %."""
    if part is None:
        return "–"
    percent = part * 100
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"


# Facts of events for developers of the fair order, omitted from a job's history.
INNER_FACTS = frozenset(
    {
        "start_tag",
        "queue_vruntime",
        "key_start_tag",
        "runner_up_start_tag",
        "queue_runner_up_start_tag",
        "key_runner_up_start_tag",
        "message",
        "worker",
        "token",
    }
)
# Facts about other tenants' work, hidden from a tenant's users.
FACTS_OF_OTHERS = frozenset(
    {"queue_vruntime", "runner_up_start_tag", "queue_runner_up_start_tag", "message", "position", "size"}
)
# Of a decision even the reason reveals whether others competed. Elsewhere a reason is an entered text.
DECISION_FACTS_OF_OTHERS = FACTS_OF_OTHERS | {"level", "reason", "key_runner_up_start_tag"}


def facts_of_others(data: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys of an event's data that tell something about other tenants' work."""
    return DECISION_FACTS_OF_OTHERS if "start_tag" in data else FACTS_OF_OTHERS


def rate_words(per_minute: float) -> str:
    """Return a rate per minute, with one decimal if it is below 10."""
    return f"{per_minute:,.0f}" if per_minute >= 10 or per_minute == 0 else f"{per_minute:.1f}"


def empty_words(line: QueueRow) -> str:
    """Return in words the time until a queue is empty if no jobs arrive, such as `3 min 12 s`."""
    seconds = line.empty_in_seconds
    if seconds is None:
        return _("never as things stand")
    return duration_words(seconds) if seconds else _("empty")


def circuit_words(circuits: Mapping[tuple[str, str], int]) -> str:
    """Return the kinds and shared dependencies that have open breakers, such as `noop, sleep (api.example.com)`."""
    named = (f"{kind} ({subject})" if subject not in ("", OF_TENANTS) else kind for kind, subject in sorted(circuits))
    held = list(dict.fromkeys(named))
    shown = ", ".join(held[:SHOWN_CIRCUITS])
    if len(held) <= SHOWN_CIRCUITS:
        return shown
    return _("%(shown)s and %(more)d more") % {"shown": shown, "more": len(held) - SHOWN_CIRCUITS}
