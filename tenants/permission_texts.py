"""What each right lets one do, in words: for the console's choices and the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tenants.permissions import Permission

_P = Permission
TEXTS: Final[Mapping[Permission, str]] = {
    _P.TENANT_VIEW: "See the tenant, its plan, its limits and what it has used",
    _P.TENANT_MANAGE: "Change the tenant's settings",
    _P.TENANT_PAUSE: "Hold the tenant's work back and let it go on",
    _P.MEMBERS_VIEW: "See who belongs to the tenant",
    _P.MEMBERS_MANAGE: "Add and remove members, change their roles",
    _P.API_KEYS_VIEW: "See which keys there are",
    _P.API_KEYS_MANAGE: "Issue and revoke keys",
    _P.JOBS_VIEW: "See jobs, their history, batches and dead letters, without payloads",
    _P.JOBS_SUBMIT: "Submit jobs",
    _P.JOBS_CANCEL: "Cancel, suspend and resume jobs",
    _P.JOBS_RETRY: "Run jobs and dead letters again",
    _P.JOBS_BULK: "Act on all jobs of a filter at once, change their priority and queue",
    _P.JOBS_RESULTS: "See the results of jobs",
    _P.JOBS_REVEAL: "See payloads and results in the clear, and edit what is requeued",
    _P.LOGS_VIEW: "See what jobs have logged, and tracebacks",
    _P.DATASETS_VIEW: "See and search datasets and documents",
    _P.DATASETS_MANAGE: "Upload, change and delete datasets and documents",
    _P.FILES_VIEW: "See which files were uploaded",
    _P.FILES_DOWNLOAD: "Download uploaded files, and make links to them",
    _P.FILES_MANAGE: "Upload and delete files",
    _P.PIPELINES_VIEW: "See pipelines, their versions, runs and entities",
    _P.PIPELINES_MANAGE: "Make, edit, run and delete pipelines, try their entities again",
    _P.WORKFLOWS_VIEW: "See workflows, their versions, and what runs ask",
    _P.WORKFLOWS_MANAGE: "Make, change and delete workflows",
    _P.WORKFLOWS_APPROVE: "Answer what runs ask",
    _P.SCHEDULES_VIEW: "See the tenant's schedules",
    _P.SCHEDULES_MANAGE: "Make, change, pause and delete schedules",
    _P.WEBHOOKS_MANAGE: "Make, change and delete webhooks: where the tenant's events are sent",
    _P.SECRETS_USE: "See which secrets are stored, and save what refers to them",
    _P.SECRETS_MANAGE: "Store, replace and delete secrets; their values are never shown",
    _P.AUDIT_VIEW: "See who changed what",
    _P.AUDIT_EXPORT: "Take the audit log out as a file",
    _P.PLATFORM_VIEW: "See queues, pools, workers, plans, fairness and upkeep: everybody's numbers",
    _P.QUEUES_OPERATE: "Pause, resume and drain queues, kinds and pools",
    _P.TENANTS_OPERATE: "Suspend and reinstate tenants",
    _P.TENANTS_MANAGE: "Create tenants, change their plan and limits",
    _P.TENANTS_ERASE: "Erase a tenant",
    _P.PLANS_MANAGE: "Change tiers and plans",
    _P.FAIRNESS_MANAGE: "Change CFS plans, queues, pools and routing",
    _P.UPKEEP_RUN: "Run upkeep and change its intervals",
    _P.PEOPLE_VIEW: "See accounts and platform roles",
    _P.PEOPLE_MANAGE: "Make, lock and unlock accounts, give platform roles",
}


def text_of(permission: Permission) -> str:
    """The words, or the name of a right that has none yet."""
    return TEXTS.get(permission, permission.value)
