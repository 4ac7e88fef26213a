"""Texts of the permissions for the console's choices and the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.translation import gettext_noop

from tenants.access.permissions import Permission

_P = Permission
TEXTS: Final[Mapping[Permission, str]] = {
    _P.TENANT_VIEW: gettext_noop("See the tenant, its plan, its limits and what it has used"),
    _P.TENANT_MANAGE: gettext_noop("Change the tenant's settings"),
    _P.TENANT_PAUSE: gettext_noop("Hold the tenant's work back and let it go on"),
    _P.MEMBERS_VIEW: gettext_noop("See who belongs to the tenant"),
    _P.MEMBERS_MANAGE: gettext_noop("Add and remove members, change their roles"),
    _P.API_KEYS_VIEW: gettext_noop("See which keys there are"),
    _P.API_KEYS_MANAGE: gettext_noop("Issue and revoke keys"),
    _P.JOBS_VIEW: gettext_noop("See jobs, their history, batches and dead letters, without payloads"),
    _P.JOBS_SUBMIT: gettext_noop("Submit jobs"),
    _P.JOBS_CANCEL: gettext_noop("Cancel, suspend and resume jobs"),
    _P.JOBS_RETRY: gettext_noop("Run jobs and dead letters again"),
    _P.JOBS_BULK: gettext_noop("Act on all jobs of a filter at once, change their priority and queue"),
    _P.JOBS_RESULTS: gettext_noop("See the results of jobs"),
    _P.JOBS_REVEAL: gettext_noop("See payloads and results in the clear, and edit what is requeued"),
    _P.LOGS_VIEW: gettext_noop("See what jobs have logged, and tracebacks"),
    _P.DATASETS_VIEW: gettext_noop("See and search datasets and documents"),
    _P.DATASETS_MANAGE: gettext_noop("Upload, change and delete datasets and documents"),
    _P.FILES_VIEW: gettext_noop("See which files were uploaded"),
    _P.FILES_DOWNLOAD: gettext_noop("Download uploaded files, and make links to them"),
    _P.FILES_MANAGE: gettext_noop("Upload and delete files"),
    _P.PIPELINES_VIEW: gettext_noop("See pipelines, their versions, runs and entities"),
    _P.PIPELINES_MANAGE: gettext_noop("Make, edit, run and delete pipelines, try their entities again"),
    _P.WORKFLOWS_VIEW: gettext_noop("See workflows, their versions, and what runs ask"),
    _P.WORKFLOWS_MANAGE: gettext_noop("Make, change and delete workflows"),
    _P.WORKFLOWS_APPROVE: gettext_noop("Answer what runs ask"),
    _P.SCHEDULES_VIEW: gettext_noop("See the tenant's schedules"),
    _P.SCHEDULES_MANAGE: gettext_noop("Make, change, pause and delete schedules"),
    _P.WEBHOOKS_MANAGE: gettext_noop("Make, change and delete webhooks: where the tenant's events are sent"),
    _P.SECRETS_USE: gettext_noop("See which secrets are stored, and save what refers to them"),
    _P.SECRETS_MANAGE: gettext_noop("Store, replace and delete secrets; their values are never shown"),
    _P.AUDIT_VIEW: gettext_noop("See who changed what"),
    _P.AUDIT_EXPORT: gettext_noop("Take the audit log out as a file"),
    _P.PLATFORM_VIEW: gettext_noop("See queues, pools, workers, plans, fairness and upkeep: everybody's numbers"),
    _P.QUEUES_OPERATE: gettext_noop("Pause, resume and drain queues, kinds and pools"),
    _P.TENANTS_OPERATE: gettext_noop("Suspend and reinstate tenants"),
    _P.TENANTS_MANAGE: gettext_noop("Create tenants, change their plan and limits"),
    _P.TENANTS_ERASE: gettext_noop("Erase a tenant"),
    _P.PLANS_MANAGE: gettext_noop("Change tiers and plans"),
    _P.FAIRNESS_MANAGE: gettext_noop("Change CFS plans, queues, pools and routing"),
    _P.UPKEEP_RUN: gettext_noop("Run upkeep and change its intervals"),
    _P.PEOPLE_VIEW: gettext_noop("See accounts and platform roles"),
    _P.PEOPLE_MANAGE: gettext_noop("Make, lock and unlock accounts, give platform roles"),
}


def text_of(permission: Permission) -> str:
    """Return the text of a permission, or its name if it has none."""
    return TEXTS.get(permission, permission.value)
