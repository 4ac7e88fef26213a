"""Investigations: read all sources, rank the suspects, store them, and record which one it was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from scheduling.alerts.queries import read_former
from scheduling.investigation import sources
from scheduling.investigation.case import RATE_WINDOW, Case, open_case
from scheduling.investigation.changes import ACTIONS, describe_entry
from scheduling.investigation.lift import rank
from scheduling.models import Investigation, JobError
from tenants.audit.service import record_audit
from tenants.context import require_scope, scope_context
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import execute, fetch_one, set_config
from tenants.database.reads import first_or_raise
from tenants.encryption.fields import is_sealing
from tenants.exceptions import DomainError, FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tenants.tenancy.pausing import actor_words

logger = logging.getLogger(__name__)

SOURCE_TIMEOUT_MS, MOST_SUSPECTS, FORMER = 3_000, 20, 3


class InvestigationNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such investigation")


def investigate(asked: Investigation) -> Investigation:
    """Find the suspects for the subject of an unsaved investigation, in the current scope; store and return it.

    Raise `FieldInvalidError` if it names no subject, `AlertNotFoundError` if the scope has no such alert.
    """
    with scope_context(require_scope()):
        case, unread = open_case(asked), list[str]()
        asked.began_at, asked.ended_at = case.onset, case.until
        asked.subject, asked.label = case.subject[:300], case.label[:300]
        read_all = [source for source in sources.SOURCES if case.is_of_platform or not source.is_of_platform]
        found = [one for source in read_all for one in _read(source.name, source.read, case, unread)]
        ranked = rank(found, case.onset, case.names, MOST_SUSPECTS)
        asked.suspects = [
            {
                "title": one.title, "score": round(score, 3), "at": one.at.isoformat() if one.at else None,
                "evidence": [text[:500] for text in one.evidence if text][:5], "ref": one.ref,
            }
            for score, one in ranked
        ]  # fmt: skip
        first = _read(gettext_noop("first failure"), _first_failure, case, unread)
        earlier = _read(gettext_noop("earlier alerts"), _earlier, case, unread)
        asked.evidence = {"first": first[0] if first else None, "earlier": earlier, "state": case.state[:20]}
        asked.evidence["unread"] = unread
        named = {word for _score, one in ranked for word in one.names} | case.names
        asked.named_tenants = list(Tenant.objects.filter(slug__in=named).values_list("pk", flat=True)[:100])
        asked.asked_by = actor_words()
        asked.save(force_insert=True)
        record_audit(action="investigation.created", target=asked, after={"subject": case.subject})
    return asked


def _read[RowT](name: str, read: Callable[[Case], Iterable[RowT]], case: Case, unread: list[str]) -> list[RowT]:
    """Return what is read in a savepoint whose statements end after SOURCE_TIMEOUT_MS; if it fails, note its name."""
    former = fetch_one("SELECT current_setting('statement_timeout') AS setting", is_planned=True).setting
    try:
        with transaction.atomic():
            execute(*set_config({"statement_timeout": str(SOURCE_TIMEOUT_MS)}), is_planned=True)
            rows = list(read(case))
            execute(*set_config({"statement_timeout": former}), is_planned=True)
    except DatabaseError:
        logger.warning("investigation.source_failed", extra={"source": name}, exc_info=True)
        unread.append(name)
        return []
    return rows


def record_outcome(
    *, investigation_id: UUID, cause: int | None, has_helped: bool | None = None, note: str = ""
) -> Investigation:
    """Record which suspect was the cause, by its number from 1 or None for another, and whether the remedy helped."""
    with scope_context(require_scope()):
        rows = Investigation.objects.select_for_update(of=("self",), no_key=True).filter(pk=investigation_id)
        row: Investigation = first_or_raise(rows, InvestigationNotFoundError)
        if cause is not None and not 1 <= cause <= len(row.suspects):
            raise FieldInvalidError("cause: It must be the number of a suspect.")
        before = _outcome(row)
        row.cause, row.has_helped, row.note, row.answered_by = cause, has_helped, note[:500], actor_words()
        row.save(update_fields=["cause", "has_helped", "note", "answered_by"])
        record_audit(action="investigation.answered", target=row, before=before, after=_outcome(row), reason=note)
    return row


def outcome_words(row: Investigation) -> str:
    """Return which suspect was the cause and whether the remedy helped, or an empty text without an outcome."""
    if not row.answered_by:
        return ""
    cause = row.suspects[row.cause - 1]["title"] if row.cause else _("another cause")
    helped = {True: _("the remedy helped"), False: _("the remedy did not help"), None: ""}[row.has_helped]
    return ", ".join(filter(None, (cause, helped)))


def _outcome(row: Investigation) -> dict[str, Any]:
    return {"cause": row.cause, "has_helped": row.has_helped}


def _first_failure(case: Case) -> Iterator[dict[str, Any]]:
    """Yield the first failure of the subject, with its job."""
    bounds = {"id__gte": uuid7_floor(case.onset - 2 * RATE_WINDOW), "id__lt": uuid7_floor(case.sampled_until)}
    known = {"error_fingerprint": case.fingerprint, "kind": case.kind, "tenant_id": case.tenant_id}
    rows = JobError.objects.filter(**bounds, **{name: value for name, value in known.items() if value})
    for first in rows.select_related("tenant").order_by("id")[:1]:
        case.names.add(first.tenant.slug)
        # An investigation is stored in plain, so it does not have what is sealed.
        text = () if is_sealing() else (first.error_message,)
        message = ": ".join((first.error_type, *text))[:200]
        yield {"job": str(first.job_id), "at": first.at.isoformat(), "message": message}


def _earlier(case: Case) -> Iterator[dict[str, Any]]:
    """Yield the last alerts of the rule and object, and investigations of the subject: what was done, what helped."""
    for alert in read_former(case.alert) if case.alert else ():
        end = alert.resolved_at or case.now
        acts = AuditLogEntry.objects.filter(
            action__in=ACTIONS, id__gte=uuid7_floor(alert.fired_at or alert.pending_at), id__lt=uuid7_floor(end)
        )
        done = [describe_entry(entry) for entry in acts.order_by("id")[:10]]
        outcome = alert.get_outcome_display() if alert.outcome else _("no outcome stored")
        yield ({"at": alert.pending_at.isoformat(), "outcome": f"{outcome} {alert.outcome_note}".strip(), "acts": done})
    answered = Investigation.objects.filter(subject=case.subject).exclude(answered_by="").order_by("-id")
    for row in answered[:FORMER]:
        outcome = ", ".join(filter(None, (outcome_words(row), row.note)))
        yield ({"at": row.asked_at.isoformat(), "outcome": outcome, "acts": []})
