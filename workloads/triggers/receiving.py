"""Receipt of signed requests: verification, then one job for each key, and the record of the last deliveries."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from uuid import UUID

import structlog

from scheduling.jobs.job_templates.service import run_template
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import Submission, submit_job
from tenants.api.problems import STATUS_BY_CATEGORY
from tenants.api.strict_json import parse_json
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.exceptions import DomainError
from tenants.holds.service import without_held
from tenants.secrets.signing import SecretUnreadableError, is_signed, new_secret, seal, unseal
from workloads.triggers.exceptions import MappingFailedError, SignatureRefusedError, TriggerDisabledError
from workloads.triggers.mapping import MappingError, key_of, map_request
from workloads.triggers.models import MAX_ERROR, TriggerDelivery, WebhookTrigger
from workloads.triggers.service import find_template, find_workflow

logger = structlog.stdlib.get_logger("workloads.triggers")

MAX_BODY_BYTES: Final = 64 * 1024
TOLERANCE_SECONDS: Final = 300
KEPT_DELIVERIES: Final = 50
MAX_ID_CHARACTERS: Final = 200
MAX_SIGNATURE_CHARACTERS: Final = 1_000
MAX_VALUE_CHARACTERS: Final = 2_000
GITHUB_SIGNATURE: Final = "X-Hub-Signature-256"


@dataclass(frozen=True, slots=True)
class InboundRequest:
    """A request as it was received."""

    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says about its signature; ``timestamp`` is None for a signature as GitHub makes it."""

    message_id: str
    timestamp: int | None
    signature: str

    @classmethod
    def read(cls, request: InboundRequest) -> _Claim:
        """Return the claim of a request; raise `SignatureRefusedError` if it has none, or is too old."""
        given = request.headers.get(GITHUB_SIGNATURE)
        if given is not None:
            # Its delivery id is not signed: the body itself is the id.
            return cls(hashlib.sha256(request.body).hexdigest(), None, given[:MAX_SIGNATURE_CHARACTERS])
        names = ("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature")
        message_id, moment, signature = (request.headers.get(name, "") for name in names)
        is_number = moment.isascii() and moment.isdigit() and len(moment) <= 12
        is_bounded = 0 < len(message_id) <= MAX_ID_CHARACTERS and 0 < len(signature) <= MAX_SIGNATURE_CHARACTERS
        if not (is_number and is_bounded and abs(time.time() - int(moment)) <= TOLERANCE_SECONDS):
            raise SignatureRefusedError
        return cls(message_id, int(moment), signature)

    def is_signed(self, secrets: list[str], body: bytes) -> bool:
        """Return whether one of the secrets has signed the request; the time does not depend on which."""
        if self.timestamp is not None:
            return is_signed(secrets, self.signature, message_id=self.message_id, timestamp=self.timestamp, body=body)
        digests = (f"sha256={hmac.new(one.encode(), body, hashlib.sha256).hexdigest()}" for one in secrets)
        matches = [hmac.compare_digest(each.encode(), self.signature.encode("utf-8", "replace")) for each in digests]
        return any(matches)


def receive(trigger_id: UUID, request: InboundRequest) -> Submission:
    """Start what a trigger starts for a signed request, once for each key, and record the delivery.

    Raise `SignatureRefusedError`, without a record, for a request that its secret has not signed. Any other error is
    the one that refuses the job; it is recorded, so it must not roll the transaction back.
    """
    claim = _Claim.read(request)
    trigger = _find(trigger_id, claim, request.body)
    actor = Actor(
        "trigger", str(trigger.pk), trigger.name, request.request_id, is_of_tenant=True, may_use_secrets=False,
        may_manage_webhooks=False, may_read_logs=False, rights=frozenset(),
    )  # fmt: skip
    with acting_as(actor):
        try:
            with tenant_context(trigger.tenant_id):
                submission = _start(trigger, claim, request)
        except DomainError as refusal:
            _record(trigger, status=STATUS_BY_CATEGORY[refusal.category], error=f"{refusal.code}: {refusal}")
            raise
        _record(trigger, status=202, job_id=submission.job.pk, is_duplicate=not submission.created)
    return submission


@cache
def _decoy() -> str:
    """Return an encrypted secret of no trigger: a request to an absent one takes as long as another."""
    return seal(new_secret())


def _find(trigger_id: UUID, claim: _Claim, body: bytes) -> WebhookTrigger:
    """Return the trigger that has signed the body; raise `SignatureRefusedError` if there is none."""
    with all_tenants():
        trigger = WebhookTrigger.objects.select_related("tenant__plan").filter(pk=trigger_id).first()
    known = [] if trigger is None else trigger.valid_sealed_secrets()
    try:
        secrets = [unseal(sealed) for sealed in (*known, _decoy(), _decoy())[:2]]
    except SecretUnreadableError as error:
        logger.warning("trigger.secret_unreadable", trigger_id=str(trigger_id))
        raise SignatureRefusedError from error
    is_valid = claim.is_signed(secrets, body)
    expected = WebhookTrigger.Signature.GITHUB if claim.timestamp is None else WebhookTrigger.Signature.STANDARD
    if trigger is None or not is_valid or trigger.signature != expected:
        raise SignatureRefusedError
    return trigger


def _start(trigger: WebhookTrigger, claim: _Claim, request: InboundRequest) -> Submission:
    if not trigger.is_enabled:
        raise TriggerDisabledError
    document = _document_of(trigger, request)
    try:
        values = map_request(trigger.mapping, document)
        key = key_of(trigger.deduplicate_by, document) if trigger.deduplicate_by else claim.message_id
    except MappingError as error:
        raise MappingFailedError(str(error)[:MAX_ERROR]) from error
    digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
    options: dict[str, Any] = {
        "idempotency_key": f"trigger:{trigger.pk}:{digest}",
        "meta": {"trigger": trigger.name},
    }
    if trigger.template:
        template = find_template(trigger.template)
        return run_template(template=template, values=values, is_rate_limited=True, **options)
    if trigger.workflow:
        return _start_run(trigger, values, options)
    wanted = JobRequest(kind=trigger.kind, payload=values, **options)
    return submit_job(tenant=trigger.tenant, request=wanted, is_rate_limited=True)


def _start_run(trigger: WebhookTrigger, values: dict[str, Any], options: Mapping[str, Any]) -> Submission:
    workflow = find_workflow(trigger.workflow)
    # Its tables exist only while the app is installed.
    from workloads.workflows.runs import start_run

    return start_run(tenant=trigger.tenant, workflow=workflow, inputs=values, is_rate_limited=True, **options)


def _document_of(trigger: WebhookTrigger, request: InboundRequest) -> dict[str, Any]:
    """Return what a mapping reads: the body, the headers that the trigger allows, and the query."""
    headers = {
        name.lower().replace("-", "_"): request.headers.get(name, "")[:MAX_VALUE_CHARACTERS] for name in trigger.headers
    }
    return {"body": parse_json(request.body) if request.body else None, "headers": headers, "query": request.query}


def _record(
    trigger: WebhookTrigger, *, status: int, job_id: UUID | None = None, is_duplicate: bool = False, error: str = ""
) -> None:
    """Store a delivery, unless the trigger was deleted meanwhile, and delete those before the last ones."""
    with tenant_context(trigger.tenant_id):
        if not WebhookTrigger.objects.select_for_update(no_key=True).filter(pk=trigger.pk).exists():
            return
        TriggerDelivery.objects.create(
            tenant_id=trigger.tenant_id, trigger=trigger, status=int(status), job_id=job_id,
            is_duplicate=is_duplicate, error=error[:MAX_ERROR],
        )  # fmt: skip
        newest = TriggerDelivery.objects.filter(trigger=trigger).order_by("-pk")
        older = list(newest.values_list("pk", flat=True)[KEPT_DELIVERIES:][:KEPT_DELIVERIES])
    if older:
        with all_tenants():
            without_held(TriggerDelivery.objects.filter(pk__in=older)).delete()
