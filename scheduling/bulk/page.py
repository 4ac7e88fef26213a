"""Texts about bulk operations for the console: the action, the progress, and why jobs are unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from scheduling.bulk.effect import EFFECT_NOTES
from scheduling.bulk.queries import progress_of
from scheduling.console.wording import MARKS, duration_words, mark_of, rate_words
from scheduling.models import BulkOperation

# Reasons of unchanged jobs other than the job's state.
BULK_REASONS = {
    "unchanged": gettext_noop("has this value already"),
    "changed_meanwhile": gettext_noop("it changed meanwhile"),
    "invalid_transition": gettext_noop("its state does not allow it, or it was requeued before"),
    "priority_not_allowed": gettext_noop("the plan does not allow this priority"),
    "queue_not_allowed": gettext_noop("routing does not allow the tenant to choose this queue"),
    "quota_exceeded": gettext_noop("a limit of the plan is reached"),
    "rate_limited": gettext_noop("the plan does not allow so many submissions"),
    "tenant_suspended": gettext_noop("its tenant is suspended"),
    "draining": gettext_noop("its queue, kind or tenant is draining and accepts no new jobs"),
    "kind_unknown": gettext_noop("its kind no longer exists"),
    "kind_internal": gettext_noop("only the platform submits jobs of its kind"),
    "payload_invalid": gettext_noop("its payload no longer fits the kind's schema"),
    "payload_unreadable": gettext_noop("its payload cannot be decrypted"),
    "payload_too_large": gettext_noop("its payload is too large"),
    "route_missing": gettext_noop("no routing rule sends it to a queue"),
    "memory_class": gettext_noop("no worker has the memory that it needs"),
}

WAIT_VERDICTS = {
    "loses": gettext_noop("waits longer"),
    "gains": gettext_noop("waits less"),
    "unchanged": gettext_noop("about the same"),
}


@dataclass(frozen=True, slots=True)
class BulkRow:
    """Operation with its progress in words, as shown in the console; ``percent`` is None if the total is unknown.

    ``rate`` is empty if it has run for less than a second.
    """

    operation: BulkOperation
    what: str
    percent: int | None
    rate: str
    took: str
    eta: str


def bulk_row(operation: BulkOperation, now: datetime) -> BulkRow:
    """Return an operation with its progress at ``now`` in words; no query is made."""
    progress = progress_of(operation, now)
    return BulkRow(
        operation=operation,
        what=what_words(operation),
        percent=None if progress.share is None else round(100 * progress.share),
        # Of less than a second a rate would be a guess.
        rate=rate_words(progress.rate) if progress.seconds >= 1 else "",
        took=duration_words(progress.seconds),
        eta="" if progress.eta_seconds is None else duration_words(progress.eta_seconds),
    )


def what_words(operation: BulkOperation) -> str:
    """Return an operation's action with its parameters in words, such as `change the priority: 3`."""
    action = operation.get_operation_display()
    given = ", ".join(str(value) for value in operation.parameters.values())
    words = f"{action}: {given}" if given else action
    return _("undo: %(what)s") % {"what": words} if operation.undo_of_id else words


def reason_words(code: str) -> str:
    """Return in words why jobs were not changed; ``code`` is a job state or an error code."""
    if code in BULK_REASONS:
        return _(BULK_REASONS[code])
    return mark_of(code).word if code in MARKS else code.replace("_", " ")


def wait_change_words(verdict: str) -> str:
    """Return the words for a code of `WaitRow.verdict`, such as "waits longer"."""
    return _(WAIT_VERDICTS[verdict])


def wait_words(seconds: float | None) -> str:
    """Return a wait in words, "never starts" for None."""
    return _("never starts") if seconds is None else duration_words(seconds)


def note_words(code: str) -> str:
    """Return the sentence for a note of an estimate, which says what the estimate leaves out."""
    return _(EFFECT_NOTES[code])
