"""Service that changes and syncs sources of documents. Each change is one transaction with its audit entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from jsonschema import Draft202012Validator

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.kit.http import refusal_of
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tenants.schema_faults import describe_fault
from tenants.secrets.references import is_secret_name
from tenants.secrets.service import require_use_of_secrets
from tenants.tenancy.changes import assign
from tenants.translation import translate
from workloads.documents.models import Dataset
from workloads.documents.sources.exceptions import (
    SourceDisabledError,
    SourceInvalidError,
    SourceNameTakenError,
    SourceNotFoundError,
    SyncRunningError,
    TooManySourcesError,
)
from workloads.documents.sources.models import ContentSource
from workloads.documents.sources.processor import DocumentSync
from workloads.documents.sources.queries import get_source, is_syncing
from workloads.documents.sources.registry import connectors

MAX_SOURCES: Final = 100
MAX_CONFIG_CHARACTERS: Final = 64 * 1024
_LIMITS: Final = ("max_documents", "max_file_bytes", "gone_items", "is_enabled")
EDITABLE_FIELDS: Final = ("name", "config", "credentials", *_LIMITS)
_MAX_FAULTS = 20


def create_source(*, tenant: Tenant, dataset: Dataset, connector: str, **values: Any) -> ContentSource:
    """Create a source of documents for a dataset.

    Raise `SourceInvalidError` if the configuration does not fit the connector, `SecretUseDeniedError`,
    `SourceNameTakenError`, `TooManySourcesError`, or `FieldInvalidError` for another field.
    """
    if connector not in connectors():
        known = ", ".join(sorted(connectors()))
        raise FieldInvalidError.at("connector", translate("The connectors are: %(known)s.", {"known": known}))
    with tenant_context(tenant):
        if not Dataset.objects.filter(pk=dataset.pk).exists():
            raise FieldInvalidError.at("dataset", translate("There is no such dataset."))
        if ContentSource.objects.count() >= MAX_SOURCES:
            raise TooManySourcesError("A tenant may have at most %(limit)s document sources.", {"limit": MAX_SOURCES})
        source = ContentSource(tenant=tenant, dataset=dataset, connector=connector)
        assign(source, values)
        _check(source)
        _save(source)
        facts = {"dataset": str(dataset.pk), "connector": connector} | _facts(source)
        record_audit(action="document_source.created", target=source, after=facts)
    return source


@transaction.atomic
def update_source(*, source_id: UUID, changes: Mapping[str, Any]) -> ContentSource:
    """Change a source of the current scope; the next sync applies it. Raise the errors of `create_source`."""
    source = _lock(source_id)
    difference = assign(source, changes)
    if difference:
        _check(source, is_new="credentials" in difference.after)
        _save(source)
        before, after = difference.before, difference.after
        record_audit(action="document_source.updated", target=source, before=before, after=after)
    return source


@transaction.atomic
def delete_source(*, source_id: UUID, reason: str = "") -> None:
    """Delete a source with its items. Its documents stay; a sync that runs is discarded."""
    source = _lock(source_id)
    record_audit(action="document_source.deleted", target=source, before=_facts(source), reason=reason)
    source.delete()


def start_sync(*, source_id: UUID, is_rate_limited: bool = False) -> ContentSource:
    """Submit a job that syncs a source of the current scope, and return the source.

    Raise `SourceDisabledError`, `SyncRunningError` if its last job has not ended, or the errors of `submit_job`.
    """
    with transaction.atomic():
        source = _lock(source_id)
        if not source.is_enabled:
            raise SourceDisabledError
        if is_syncing(source_id):
            raise SyncRunningError
        tenant = Tenant.objects.select_related("plan").get(pk=source.tenant_id)
        request = JobRequest(kind=DocumentSync.kind, payload={"source": str(source.pk)}, subject=source.dataset_id)
        with suppress_nested_entries():
            source.job_id = submit_job(tenant=tenant, request=request, is_rate_limited=is_rate_limited).job.pk
        source.save(update_fields=["job_id"])
        record_audit(action="document_source.sync_started", target=source, after={"job": str(source.job_id)})
    return get_source(source_id)


def _lock(source_id: UUID) -> ContentSource:
    return first_or_raise(
        ContentSource.objects.select_for_update(no_key=True).filter(pk=source_id), SourceNotFoundError
    )


def _check(source: ContentSource, *, is_new: bool = True) -> None:
    """Raise `SourceInvalidError` if the configuration or the credentials do not fit the connector.

    With ``is_new``, raise `SecretUseDeniedError` if the actor may not use the secrets.
    """
    if faults := [{"field": field, "code": "source_invalid", "detail": detail} for field, detail in _faults_of(source)]:
        raise SourceInvalidError(f"{faults[0]['field']}: {faults[0]['detail']}", errors=faults[:_MAX_FAULTS])
    if source.credentials and is_new:
        require_use_of_secrets()


def _faults_of(source: ContentSource) -> Iterator[tuple[str, str]]:
    connector = connectors().get(source.connector)
    if connector is None:
        yield "connector", translate("The connector is not installed.")
        return
    if len(str(source.config)) > MAX_CONFIG_CHARACTERS:
        yield "config", translate("The configuration is too large.")
        return
    faults = list(Draft202012Validator(dict(connector.schema)).iter_errors(source.config))
    for fault in faults:
        yield "config", f"{fault.json_path}: {describe_fault(fault)}"
    if not faults:
        for name, rule in connector.schema.get("properties", {}).items():
            if rule.get("format") == "uri" and name in source.config and (why := refusal_of(source.config[name])):
                yield "config", f"$.{name}: {why}"
    named = source.credentials
    if not isinstance(named, dict) or named.keys() - set(connector.credentials):
        names = ", ".join(connector.credentials) or "–"
        yield "credentials", translate("The credentials of the connector are: %(names)s.", {"names": names})
    elif not all(isinstance(secret, str) and is_secret_name(secret) for secret in named.values()):
        yield "credentials", translate("Write the name of a stored secret, not its value.")


def _save(source: ContentSource) -> None:
    try:
        with transaction.atomic():
            source.save()
    except IntegrityError as error:
        if "content_source_name_unique" not in str(error):
            raise
        raise SourceNameTakenError from error


def _facts(source: ContentSource) -> dict[str, Any]:
    return {name: getattr(source, name) for name in EDITABLE_FIELDS}
