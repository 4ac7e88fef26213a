"""Service of acts that need a second person: the check at the act, and the decision about a request.

A refused act is rolled back with its transaction. So its request is stored afterwards, by `storing_requests`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.urls import reverse

from tenants.access.permissions import TENANT_ROLES, Permission
from tenants.approvals.acts import acts
from tenants.approvals.exceptions import (
    ApprovalForbiddenError,
    ApprovalLimitError,
    ApprovalRequestClosedError,
    ApprovalRequestNotFoundError,
    ApprovalRequiredError,
)
from tenants.approvals.mails import mail_approvers, mail_requester
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import Actor, Scope, acting_as, all_tenants, current_actor, scope_context
from tenants.database.clock import read_moment
from tenants.database.ids import uuid7
from tenants.database.platform_settings import platform_settings
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.holds.service import without_held
from tenants.models import ApiKey, ApprovalRequest, ApprovalRule, ApprovalStatus, Tenant
from tenants.tenancy.pausing import REASON_LIMIT, actor_words, require_reason

MOST_BYTES = 64 * 1024
# Undecided requests of a tenant, or of the platform; and of one person in it.
MOST_OPEN, MOST_OPEN_OF_PERSON = 200, 20
KEPT = timedelta(days=90)
_drafts: ContextVar[list[tuple[ApprovalRequest, Actor]] | None] = ContextVar("approval_drafts", default=None)
# The name of the act that an approval executes now.
_granted: ContextVar[str] = ContextVar("approval_granted", default="")


def require_approval(
    act: str,
    arguments: Mapping[str, Any],
    *,
    preview: str,
    tenant_id: UUID | None = None,
    number: int | None = None,
    subject: Mapping[str, Any] | None = None,
    is_repeated: bool = False,
) -> ApprovalRequest | None:
    """Return if the act needs no second person, or has been approved; else raise `ApprovalRequiredError`.

    Call it in the act's transaction, before any change. ``subject`` is what two calls of the same act have in common,
    by default the tenant and the arguments. With ``is_repeated``, or for an act without ``execute``, the approval is
    used by this person's next call with this subject, and the used request is returned. Raise `ApprovalLimitError` if
    too many requests wait, and `ApprovalForbiddenError` for an API key that no person has issued.
    """
    if current_actor().kind == "system" or is_granted(act):
        return None
    rule = ApprovalRule.objects.filter(act=act).first()
    if rule is None or (rule.above is not None and number is not None and number <= rule.above):
        return None
    digest = hashlib.sha256(_encode([act, subject or [tenant_id, arguments]])).hexdigest()
    person = _asking_person()
    with all_tenants():
        if (used := _use(digest, person)) is not None:
            return used
        if platform_settings.SITE_ROLE == "standby":
            raise ApprovalRequiredError(
                "A standby stores no request. At the active site run: manage.py approvals request %(act)s '%(body)s'",
                {"act": act, "body": _encode(arguments).decode()},
            )
        request = _open_request(digest, person, tenant_id) or _draft(
            rule,
            arguments,
            digest=digest,
            requester=person,
            preview=preview,
            tenant_id=tenant_id,
            is_repeated=is_repeated,
        )
    raise _refusal(request)


def is_granted(act: str) -> bool:
    """Return whether this code runs because the act was approved."""
    return _granted.get() == act


@contextmanager
def storing_requests() -> Iterator[None]:
    """Store the requests of refused acts at the end of the block, which is outside of their transactions."""
    previous, drafts = _drafts.get(), list[tuple[ApprovalRequest, Actor]]()
    _drafts.set(drafts)
    try:
        yield
    finally:
        _drafts.set(previous)
        for draft, actor in drafts:
            _store(draft, actor)


@transaction.atomic
def approve(
    *, request_id: UUID, reason: str = "", may: Callable[[Permission], bool] = lambda _: True
) -> ApprovalRequest:
    """Approve a request of the current scope, and do its act as the current actor in the same transaction.

    ``may`` returns whether the caller has a permission. Raise `ApprovalRequestNotFoundError`,
    `ApprovalRequestClosedError`, `ApprovalForbiddenError`, or the errors of the act; then it stays undecided.
    """
    row = _take(request_id, may)
    execute = None if row.is_repeated else acts()[row.act].execute
    _decide(row, ApprovalStatus.DONE if execute else ApprovalStatus.APPROVED, "approval_request.approved", reason)
    if execute is not None:
        _granted.set(row.act)
        try:
            with scope_context(Scope(row.tenant_id)):
                execute(row.arguments)
        finally:
            _granted.set("")
    return row


@transaction.atomic
def reject(*, request_id: UUID, reason: str, may: Callable[[Permission], bool] = lambda _: True) -> ApprovalRequest:
    """Reject a request of the current scope; raise what `approve` raises, or `ReasonRequiredError`."""
    row = _take(request_id, may)
    _decide(row, ApprovalStatus.REJECTED, "approval_request.rejected", require_reason(reason))
    return row


def mark_used(row: ApprovalRequest) -> None:
    """Store that an approval has been used, unless it is stored already; the caller sees all tenants."""
    if ApprovalRequest.objects.filter(pk=row.pk, status=ApprovalStatus.APPROVED).update(status=ApprovalStatus.DONE):
        _record(row, "approval_request.used")


def _refusal(request: ApprovalRequest) -> ApprovalRequiredError:
    link = reverse("admin:tenants_approvalrequest_change", args=[request.pk])
    return ApprovalRequiredError(
        "A second person must approve this until %(until)s UTC: %(link)s",
        {"until": f"{request.expires_at:%F %H:%M}", "link": link},
        errors=[{"field": "approval", "code": "approval_required", "detail": str(request.pk)}],
        headers={"Location": link},
    )


def _asking_person() -> str:
    """Return who acts; raise `ApprovalForbiddenError` for a key without one: its holder could approve as another."""
    person = _person_of(current_actor())
    if person.startswith("api_key:"):
        raise ApprovalForbiddenError("No person has issued this API key: ask as a person, or with a key of one.")
    return person


def _use(digest: str, person: str) -> ApprovalRequest | None:
    """Return the approval that a person's call uses, or None: who asked repeats the call."""
    rows = ApprovalRequest.objects.filter(digest=digest, status=ApprovalStatus.APPROVED, expires_at__gt=read_moment())
    if platform_settings.SITE_ROLE == "standby":
        # Requests come from another machine, whose users may have other names.
        return rows.exclude(decider=person).order_by("pk").first()
    row = rows.filter(requester=person).select_for_update(no_key=True, of=("self",)).order_by("pk").first()
    if row is not None:
        mark_used(row)
    return row


def _open_request(digest: str, person: str, tenant_id: UUID | None) -> ApprovalRequest | None:
    """Return the person's own undecided request for the same act, or None; raise `ApprovalLimitError`."""
    rows = ApprovalRequest.objects.filter(status=ApprovalStatus.PENDING, expires_at__gt=read_moment())
    found = rows.filter(digest=digest, requester=person).first()
    beside = rows.filter(tenant=tenant_id)
    if found is None and (
        beside[:MOST_OPEN].count() >= MOST_OPEN
        or beside.filter(requester=person)[:MOST_OPEN_OF_PERSON].count() >= MOST_OPEN_OF_PERSON
    ):
        raise ApprovalLimitError
    return found


def _draft(rule: ApprovalRule, arguments: Mapping[str, Any], **values: Any) -> ApprovalRequest:
    encoded = _encode(arguments)
    if len(encoded) > MOST_BYTES:
        raise FieldInvalidError("The arguments are too large for a request of approval.")
    actor = current_actor()
    values["is_repeated"] = values["is_repeated"] or acts()[rule.act].execute is None
    values["preview"] = values["preview"][:1000]
    draft = ApprovalRequest(
        id=uuid7(),
        act=rule.act,
        arguments=json.loads(encoded),
        requested_by=actor_words(),
        expires_at=read_moment() + timedelta(hours=rule.hours),
        **values,
    )
    if (drafts := _drafts.get()) is not None:
        drafts.append((draft, actor))
    return draft


def _store(draft: ApprovalRequest, actor: Actor) -> None:
    with all_tenants(), acting_as(actor):
        if draft.tenant_id is not None and not Tenant.objects.filter(pk=draft.tenant_id).exists():
            # It was created by the refused call.
            draft.tenant_id = None
        draft.save(force_insert=True)
        _record(draft, "approval_request.requested", expires_at=draft.expires_at)
        mail_approvers(draft)
        without_held(ApprovalRequest.objects.filter(expires_at__lt=read_moment() - KEPT)).delete()


def _take(request_id: UUID, may: Callable[[Permission], bool]) -> ApprovalRequest:
    """Return the request, locked, if the current actor may decide it now."""
    first_or_raise(ApprovalRequest.objects.filter(pk=request_id), ApprovalRequestNotFoundError)
    with all_tenants():
        row = ApprovalRequest.objects.select_for_update(no_key=True, of=("self",)).get(pk=request_id)
    actor = current_actor()
    needed = acts()[row.act].permission
    if actor.kind == "api_key" or not may(needed):
        raise ApprovalForbiddenError("A person with the permission %(needed)s must decide.", {"needed": needed})
    if _person_of(actor) == row.requester:
        raise ApprovalForbiddenError("Another person than %(name)s must decide.", {"name": row.requested_by})
    if row.status != ApprovalStatus.PENDING or row.expires_at <= read_moment():
        raise ApprovalRequestClosedError
    return row


def _decide(row: ApprovalRequest, status: ApprovalStatus, action: str, reason: str) -> None:
    row.status, row.reason, row.decided_at = status, reason[:REASON_LIMIT], read_moment()
    row.decider, row.decided_by = _person_of(current_actor()), actor_words()
    with all_tenants():
        row.save(update_fields=["status", "reason", "decided_at", "decider", "decided_by"])
        _record(row, action, reason=reason)
        mail_requester(row)


def _record(row: ApprovalRequest, action: str, *, reason: str = "", **facts: Any) -> None:
    """Write an audit entry with both names: to the tenant's chain, or the platform's if only it may do the act."""
    is_tenants = acts()[row.act].permission in TENANT_ROLES["owner"]
    after = {"act": row.act, "preview": row.preview, "requested_by": row.requested_by, "decided_by": row.decided_by}
    target = AuditTarget(row._meta.label_lower, str(row.pk), row.tenant_id if is_tenants else None)
    record_audit(action=action, target=target, after=after | facts, reason=reason)


def _person_of(actor: Actor) -> str:
    """Return who acts: a user, also by an API key that the user has issued; else the key, or the user of the shell.

    A user of the shell is the same person on every host: containers have new names of hosts.
    """
    if actor.kind == "api_key":
        with all_tenants():
            owner = ApiKey.objects.filter(pk=actor.id).values_list("created_by_id", flat=True).first()
        return f"api_key:{actor.id}" if owner is None else f"user:{owner}"
    return f"{actor.kind}:{actor.id if actor.kind == 'user' else actor.label.partition('@')[0]}"[:200]


def _encode(value: Any) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, sort_keys=True, ensure_ascii=False).encode()
