"""Annotations with the state of a row's job. A job can end without running its kind's code (cancelled, crashed).

They read the job in each query, so they are never out of date.
"""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.db.models import Case, CharField, F, OuterRef, Q, QuerySet, Subquery, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, NullIf

from tenants.encryption.error_texts import opened_error, stored_error

CANCELLED: Final = "cancelled"
SUSPENDED: Final = "suspended"
# Of a job that has no slot: it waits for its turn, for a time, or behind a breaker.
WAITING_STATES: Final = ("available", "scheduled", "retryable")
FAILED_STATES: Final = ("discarded", "quarantined")
DEAD_STATES: Final = (CANCELLED, *FAILED_STATES)
# Message for a job that ended without one.
_REASONS: Final = {
    "cancelled": "The job was cancelled.",
    "discarded": "The job failed.",
    "quarantined": "The job crashed its workers.",
}


def with_job(rows: QuerySet[Any], *, job: str = "job_id", prefix: str = "") -> QuerySet[Any]:
    """Return the queryset annotated with ``job_state``, ``job_error_type`` and ``job_error_message`` of each row's job.

    ``job`` is the path of the column with the job's id. The names of the annotations begin with ``prefix``.
    """
    # By name: a plug-in imports no models of the scheduler.
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=OuterRef(job))
    names = ("state", "error_type", "error_message")
    annotated: QuerySet[Any] = rows.annotate(
        **{f"{prefix}job_{name}": Subquery(jobs.values(name)[:1]) for name in names}
    )
    return annotated


def error_code(is_dead: Q, *, prefix: str = "", of: str = "") -> Case:
    """Return an expression: the error type or the state of the job where ``is_dead`` holds, else ``error_code``.

    Use it on a queryset of `with_job` with the same ``prefix``. ``of`` is the prefix of the path to ``error_code``.
    """
    code = Coalesce(NullIf(f"{prefix}job_error_type", Value("")), F(f"{prefix}job_state"))
    return Case(When(is_dead, then=code), default=F(f"{of}error_code"), output_field=CharField())


def error_message(is_dead: Q, *, prefix: str = "", of: str = "", job: str = "job_id", owner: str = "job_id") -> Case:
    """Return an expression: where ``is_dead`` holds, the job's message or a sentence for its state.

    Elsewhere it is the row's ``error_message``, sealed for the id in ``owner``. Use it on a queryset of `with_job` with
    the same ``prefix`` and ``job``. The texts are decrypted when the rows are read.
    """
    reasons = [When(**{f"{prefix}job_state": state}, then=Value(reason)) for state, reason in _REASONS.items()]
    reason = Case(*reasons, default=Value(""), output_field=CharField())
    plain = {"output_field": TextField()}
    message = Coalesce(NullIf(Cast(f"{prefix}job_error_message", **plain), Value(""), **plain), reason, **plain)
    return Case(
        When(is_dead, then=stored_error(message, tenant=F("tenant"), owner=F(job))),
        default=stored_error(F(f"{of}error_message"), tenant=F("tenant"), owner=F(owner)),
        output_field=opened_error(),
    )
