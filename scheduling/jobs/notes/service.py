"""Adding and reading of notes on jobs."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from scheduling.exceptions import JobNotFoundError
from scheduling.jobs.queries import get_job
from scheduling.jobs.storing import actor_label
from scheduling.models import Job, JobNote
from tenants.audit.service import record_audit
from tenants.context import current_actor
from tenants.database.reads import first_or_raise
from tenants.exceptions import DomainError
from tenants.tenancy.bases import find_invisible_character
from tenants.translation import gettext_noop

MAX_NOTE_BYTES: Final = 4 * 1024
MAX_NOTES: Final = 200


class NoteInvalidError(DomainError):
    code, category, title = "note_invalid", "invalid", gettext_noop("The note cannot be stored")


class NoteLimitError(DomainError):
    code, category, title = "note_limit", "invalid", gettext_noop("The limit of notes on the job is reached")


def notes_of(job: Job) -> QuerySet[JobNote]:
    """Return the notes on a job, oldest first."""
    return JobNote.objects.filter(tenant_id=job.tenant_id, job_id=job.pk).order_by("pk")


@transaction.atomic
def add_note(*, job_id: UUID, text: str) -> JobNote:
    """Add a note on a job in the name of the current actor.

    Raise JobNotFoundError, NoteInvalidError or NoteLimitError.
    """
    job = get_job(job_id)
    written = text.replace("\r\n", "\n").strip()
    if not 0 < len(written.encode(errors="replace")) <= MAX_NOTE_BYTES or _is_unreadable(written):
        raise NoteInvalidError(
            "A note must have 1 to %(limit)s bytes of visible text.",
            {"limit": f"{MAX_NOTE_BYTES:,}"},
        )
    # Locked, because concurrent calls would each see room that the other takes.
    first_or_raise(Job.objects.select_for_update(no_key=True).filter(pk=job_id).only("pk"), JobNotFoundError)
    if notes_of(job).count() >= MAX_NOTES:
        raise NoteLimitError("A job has at most %(limit)s notes.", {"limit": MAX_NOTES})
    note = JobNote(tenant_id=job.tenant_id, job_id=job.pk, author=actor_label(current_actor()), text=written)
    note.save(force_insert=True)
    record_audit(action="job.noted", target=job, after={"note": str(note.pk), "characters": len(written)})
    note.refresh_from_db(fields=["created_at"])
    return note


def _is_unreadable(text: str) -> bool:
    return any(find_invisible_character(line) is not None for line in text.replace("\t", " ").split("\n"))
