"""Every column with tenants' data is encrypted, and none is read or written without the field that encrypts it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import JSONField

from jobsplatform.settings.env import BASE_DIR
from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedField, SealedJSONField
from tests.named_sql import sql_sources
from tests.syntax import nodes_of, parse

SEALED = {
    "scheduling.Job.payload",
    "scheduling.Job.checkpoint",
    "scheduling.Job.result",
    "scheduling.Batch.compensate",
    "scheduling.Batch.on_completion",
    "scheduling.BulkOperation.payload_patch",
    "scheduling.Compensation.payload",
    "scheduling.JobTemplateVersion.after",
    "scheduling.JobTemplateVersion.before",
    "scheduling.JobTemplateVersion.content",
    "scheduling.JobEvent.data",
    "scheduling.JobLog.sealed",
    "scheduling.OutboxMessage.body",
    "scheduling.Schedule.payload",
    "tenants.TenantSecret.sealed",
}
# A new JSON column must be added to one of the two; here with the reason why it is stored in plain.
PLAIN = {
    "scheduling.Alert.facts": "what contacts are sent, such as the beginning of an error's message",
    "scheduling.Alert.object": "names of a queue, kind, tenant or cause",
    "scheduling.Alert.tenants": "slugs",
    "scheduling.AlertMessage.body": "what contacts are sent",
    "scheduling.AlertRule.backtest": "counts",
    "scheduling.Backup.faults": "codes and counts of the consistency checks",
    "scheduling.BulkOperation.changed_by_tenant": "counts",
    "scheduling.BulkOperation.ineligible": "counts",
    "scheduling.BulkOperation.parameters": "a queue, or a priority",
    "scheduling.BulkOperation.position": "ids",
    "scheduling.PlatformLog.fields": "facts of the platform's own lines, as its log streams have them",
    "scheduling.CFSPlanVersion.after": "the platform's configuration",
    "scheduling.CFSPlanVersion.before": "the platform's configuration",
    "scheduling.CFSPlanVersion.content": "the platform's configuration",
    "scheduling.Circuit.tenants": "counts",
    "scheduling.ControlHold.failures": "ids and names of controls",
    "scheduling.ControlRule.parameters": "tags, kinds, regions, hosts and times that controls name",
    "scheduling.Investigation.evidence": "names, counts, audit entries, and the beginning of an error's message",
    "scheduling.Investigation.suspects": "names, counts and entries of the audit log",
    "scheduling.LoadState.admitted": "percentages by tier",
    "scheduling.LoadState.signals": "measured values",
    "scheduling.Job.meta": "shown with the job and found by filters",
    "scheduling.ObjectiveHour.excused": "counts",
    "scheduling.SeriesSummary.numbers": "values of measures",
    "scheduling.ObjectiveMinute.excused": "counts",
    "scheduling.JobLog.fields": "empty while values are encrypted: `sealed` has them",
    "scheduling.PoolClock.locked_tenants": "ids and times",
    "scheduling.SettledRefused.content": "ids, kind and numbers of a settled execution",
    "scheduling.RoutingRule.condition": "the platform's configuration",
    "scheduling.Worker.blocks": "ids of jobs and times",
    "scheduling.Worker.kinds": "names of kinds",
    "scheduling.WorkerPool.kinds": "names of kinds",
    "scheduling.WorkerPool.unknown_kinds": "names of kinds",
    "scheduling.TenantUpkeepRun.counts": "counts",
    "scheduling.TenantUpkeepRun.cursor": "ids",
    "scheduling.TenantUpkeepRun.findings": "words of the platform",
    "scheduling.UpkeepRun.counts": "counts",
    "scheduling.UpkeepRun.cursor": "ids",
    "scheduling.UpkeepRun.findings": "words of the platform",
    "scheduling.Worker.queues": "the platform's configuration",
    "scheduling.Worker.sandbox": "names of layers and protections",
    "tenants.AccessReviewLine.grants": "names of rights, queues, kinds and datasets, scopes and networks of keys",
    "tenants.ApprovalRequest.arguments": "ids, numbers and words of an act; a payload patch is left out",
    "tenants.AuditLogEntry.after": "masked before it is written, and hashed as it stands",
    "tenants.AuditLogEntry.before": "masked before it is written, and hashed as it stands",
    "tenants.Plan.retry_rules": "the platform's configuration",
    "tenants.PlanVersion.after": "the platform's configuration",
    "tenants.PlanVersion.before": "the platform's configuration",
    "tenants.PlanVersion.content": "the platform's configuration",
    "tenants.AuditCounter.final_head": "a signed place in a chain",
    "tenants.AuditRemoval.removed": "counts",
    "tenants.TenantErasure.after": "counts",
    "tenants.TenantErasure.before": "counts",
    "tenants.TenantErasure.proof": "counts; it outlives its tenant's keys",
    "tenants.TenantErasure.removed": "counts",
    "tenants.TenantSettings.stored": "settings; of secrets they hold references",
}
# Columns of plug-ins' own tables; docs/how-to/encryption.md states which others are stored in plain.
SEALED_OF_PLUGINS = {
    "rag_pipeline.PipelineEntity.error_message",
    "rag_pipeline.PipelineEntity.outputs",
    "rag_pipeline.PipelineRun.error_message",
    "retrieval.Document.error_message",
    "triggers.TriggerDelivery.error",
    "webhooks.Delivery.answer",
    "webhooks.Delivery.error",
    "webhooks.Webhook.url",
    "workflow_storage.NodeRun.error_message",
    "workflow_storage.NodeRun.inputs",
    "workflow_storage.NodeRun.outputs",
    "workflow_storage.WorkflowRun.error_message",
    "workflow_storage.WorkflowRun.graph",
    "workflow_storage.WorkflowRun.inputs",
    "workflow_storage.WorkflowRun.outputs",
}
# Texts of errors in the platform's own tables, and the columns of that kind that are stored in plain, with the reason.
ERRORS = {
    "scheduling.Batch.fire_error",
    "scheduling.BulkOperation.error",
    "scheduling.Circuit.error_message",
    "scheduling.CircuitNews.error_message",
    "scheduling.Compensation.error",
    "scheduling.DeadLetter.error_message",
    "scheduling.Execution.error_message",
    "scheduling.Execution.traceback",
    "scheduling.Job.error_message",
    "scheduling.JobError.error_message",
    "scheduling.OutboxMessage.error",
}
PLAIN_ERRORS = {
    "scheduling.AlertMessage.error": "of the delivery of an alert, whose body is in plain",
    "scheduling.Backup.error": "of no tenant",
    "scheduling.EvidencePack.error": "of the platform's own report",
    "scheduling.SettledRefused.error": "of the database, about the numbers of an execution",
    "scheduling.TenantUpkeepRun.error": "of a task of the platform over a tenant",
    "scheduling.UpkeepRun.error": "of no tenant",
}
OF_PLUGINS = frozenset(
    {"rag_pipeline", "retrieval", "workflow_execution", "workflow_storage", "files", "triggers", "webhooks"}
)
# Statements that read or copy error texts; each copies one only within the rows of a job, or a module opens it.
ERROR_STATEMENTS = {
    "scheduling/alerts/causes.sql",
    "scheduling/breakers/dependencies.sql",
    "scheduling/breakers/state.sql",
    "scheduling/compensation/duty.sql",
    "scheduling/consistency/jobs.sql",
    "scheduling/errors/queries.sql",
    "scheduling/execution/settlement.sql",
    "scheduling/jobs/dead_letters/groups.sql",
    "scheduling/jobs/waiting_jobs.sql",
    "scheduling/streams/event_pages.sql",
    "workloads/pipelines/upkeep.sql",
    "workloads/workflows/records/upserts.sql",
}
COLUMNS = ("payload", "checkpoint", "result")
# Modules that name the columns in SQL, or read them without model instances; each decrypts and encrypts through the
# field.
BESIDE_ROWS = {
    "scheduling/bulk/actions.py",
    "scheduling/bulk/replays.py",
    "scheduling/bulk/reroute.py",
    "scheduling/execution/checkpoints.sql",
    "scheduling/execution/start.sql",
    "scheduling/jobs/result_cache/service.py",
    "scheduling/execution/settlement.sql",
    "workloads/documents/indexing/ahead.py",
}
_COLUMN = "|".join(COLUMNS)
_IN_SQL = re.compile(rf"\bscheduling_(?:job|schedule)\b(?!_)[\s\S]*\b(?:\w\.)?(?:{_COLUMN})\b(?!_)")
_PAST_ROWS = frozenset({"values", "values_list", "update", "annotate", "aggregate"})


def json_columns() -> dict[str, type[JSONField]]:
    """Return all JSON columns of the platform's own models."""
    return {
        f"{model._meta.app_label}.{model.__name__}.{field.name}": type(field)
        for model in apps.get_models()
        if model.__module__.startswith(("scheduling.", "tenants.")) and model._meta.app_label not in OF_PLUGINS
        for field in model._meta.local_fields
        if isinstance(field, JSONField)
    }


def test_every_json_column_is_sealed_or_listed_as_plain() -> None:
    columns = json_columns()
    assert {name for name, kind in columns.items() if issubclass(kind, SealedJSONField)} == SEALED
    assert set(columns) - SEALED == set(PLAIN)


def test_every_text_of_an_error_is_sealed_or_listed_as_plain() -> None:
    columns = {
        f"{model._meta.label}.{field.name}": type(field)
        for model in apps.get_models()
        if model.__module__.startswith("scheduling.") and model._meta.app_label not in OF_PLUGINS
        for field in model._meta.local_fields
        if field.name.endswith(("error", "error_message", "traceback"))
    }
    assert {name for name, kind in columns.items() if issubclass(kind, SealedErrorField)} == ERRORS
    assert set(columns) - ERRORS == set(PLAIN_ERRORS)


def test_sealed_columns_of_plug_ins_are_listed() -> None:
    fields = {f"{field.model._meta.label}.{field.name}" for field in SealedField.all_fields}
    assert {name for name in fields if name.split(".")[0] in OF_PLUGINS} == SEALED_OF_PLUGINS


def speakers() -> Iterator[str]:
    """Yield the modules of the product that access the columns without model instances."""
    for package in ("jobsplatform", "scheduling", "tenants", "workloads"):
        for path in (BASE_DIR / package).rglob("*.py"):
            if "migrations" not in path.parts and reaches_past_rows(path.read_text()):
                yield str(path.relative_to(BASE_DIR))
    yield from (name for name, text in sql_sources() if _IN_SQL.search(text))


def reaches_past_rows(source: str) -> bool:
    return any(_is_sql(node) or _is_query(node) for node in nodes_of(parse(source)))


def _is_sql(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(_IN_SQL.search(node.value))


def _is_query(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in _PAST_ROWS:
        return False
    named = {part.value for part in node.args if isinstance(part, ast.Constant)}
    said = {str(name).split("__")[0].removeprefix("job__") for name in named | {word.arg for word in node.keywords}}
    return bool(said & set(COLUMNS))


def test_sealed_columns_are_queried_directly_by_listed_modules_only() -> None:
    assert set(speakers()) == BESIDE_ROWS


def test_error_texts_are_in_listed_statements_only() -> None:
    found = {name for name, text in sql_sources() if re.search(r"\berror_message\b|\btraceback\b", text)}
    assert found == ERROR_STATEMENTS


@pytest.mark.parametrize(
    "line",
    [
        'Job.objects.values_list("payload", flat=True)',
        'Job.objects.filter(pk=1).update(result={"a": 1})',
        'SQL = "SELECT 1 FROM scheduling_job j WHERE j.result IS NULL"',
        'SQL = "UPDATE scheduling_job SET checkpoint = %s"',
    ],
)
def test_direct_use_of_sealed_column_is_found(line: str) -> None:
    assert reaches_past_rows(line)


@pytest.mark.parametrize(
    "line", ['SQL = "SELECT payload_bytes FROM scheduling_job_ready"', "job.payload", "x.update(a=1)"]
)
def test_other_use_of_sealed_column_is_not_found(line: str) -> None:
    assert not reaches_past_rows(line)


def test_data_keys_are_used_by_field_and_stored_values_only() -> None:
    """Only the field and `stored` encrypt values; no other code requests a key for one."""
    users = {
        str(path.relative_to(BASE_DIR))
        for package in ("jobsplatform", "scheduling", "tenants", "workloads")
        for path in Path(BASE_DIR / package).rglob("*.py")
        if re.search(r"\b(?:sealing_key|opening_key|existing_key)\b", path.read_text())
    }
    assert users == {
        "tenants/encryption/data_keys.py",
        "tenants/encryption/error_texts.py",
        "tenants/encryption/fields.py",
        "tenants/encryption/file_seal.py",
    }
