"""Descriptions of the permissions, for the console and the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.translation import gettext_noop

from tenants.access.permissions import Permission

_P = Permission
TEXTS: Final[Mapping[Permission, str]] = {
    _P.TENANT_VIEW: gettext_noop("View the tenant, its plan, limits and usage"),
    _P.TENANT_MANAGE: gettext_noop("Change the tenant's settings"),
    _P.TENANT_PAUSE: gettext_noop("Pause, drain and resume the tenant's work"),
    _P.MEMBERS_VIEW: gettext_noop("View the tenant's members"),
    _P.MEMBERS_MANAGE: gettext_noop("Add and remove members, change their roles"),
    _P.API_KEYS_VIEW: gettext_noop("View API keys"),
    _P.API_KEYS_MANAGE: gettext_noop("Issue and revoke API keys"),
    _P.JOBS_VIEW: gettext_noop("View jobs, their history, batches and dead letters, without payloads"),
    _P.JOBS_SUBMIT: gettext_noop("Submit jobs"),
    _P.JOBS_CANCEL: gettext_noop("Cancel, suspend and resume jobs"),
    _P.JOBS_RETRY: gettext_noop("Retry jobs and requeue dead letters"),
    _P.JOBS_BULK: gettext_noop("Run bulk operations on filtered jobs, change their priority and queue"),
    _P.TEMPLATES_RUN: gettext_noop("Run the job templates that name the role, and with jobs.submit all of them"),
    _P.TEMPLATES_MANAGE: gettext_noop("Create, change and delete job templates, and choose who may run them"),
    _P.JOBS_RESULTS: gettext_noop("View the results of jobs"),
    _P.JOBS_REVEAL: gettext_noop("View payloads and results in the clear, and edit payloads when requeueing"),
    _P.LOGS_VIEW: gettext_noop("View job logs and tracebacks"),
    _P.DATASETS_VIEW: gettext_noop("View and search datasets and documents"),
    _P.DATASETS_MANAGE: gettext_noop("Upload, change and delete datasets and documents"),
    _P.FILES_VIEW: gettext_noop("View uploaded files"),
    _P.FILES_DOWNLOAD: gettext_noop("Download uploaded files, and create links to them"),
    _P.FILES_MANAGE: gettext_noop("Upload and delete files"),
    _P.PIPELINES_VIEW: gettext_noop("View pipelines, their versions, runs and entities"),
    _P.PIPELINES_MANAGE: gettext_noop("Create, edit, run and delete pipelines, retry their entities"),
    _P.WORKFLOWS_VIEW: gettext_noop("View workflows, their versions, and approvals"),
    _P.WORKFLOWS_MANAGE: gettext_noop("Create, change and delete workflows"),
    _P.WORKFLOWS_APPROVE: gettext_noop("Decide approvals"),
    _P.SCHEDULES_VIEW: gettext_noop("View the tenant's schedules"),
    _P.SCHEDULES_MANAGE: gettext_noop("Create, change, pause and delete schedules"),
    _P.WEBHOOKS_MANAGE: gettext_noop("Create, change and delete webhooks for the tenant's events"),
    _P.ALERTS_RESPOND: gettext_noop("Acknowledge and silence alerts, note on them, send test messages"),
    _P.ALERTS_MANAGE: gettext_noop("Change alert rules, contacts, routes, owners and objectives"),
    _P.SECRETS_USE: gettext_noop("View the names of stored secrets, and save references to them"),
    _P.SECRETS_MANAGE: gettext_noop("Store, replace and delete secrets; their values are never shown"),
    _P.AUDIT_VIEW: gettext_noop("View the audit log"),
    _P.AUDIT_EXPORT: gettext_noop("Export the audit log"),
    _P.APPROVALS_DECIDE: gettext_noop("Approve or reject acts of others that need a second person"),
    _P.PLATFORM_VIEW: gettext_noop("View queues, pools, workers, plans, fairness and upkeep of all tenants"),
    _P.QUEUES_OPERATE: gettext_noop("Pause, resume and drain queues, kinds and pools"),
    _P.TENANTS_OPERATE: gettext_noop("Suspend and reinstate tenants"),
    _P.TENANTS_MANAGE: gettext_noop("Create tenants, change their plan and limits"),
    _P.TENANTS_ERASE: gettext_noop("Erase a tenant"),
    _P.PLANS_MANAGE: gettext_noop("Change tiers and plans"),
    _P.FAIRNESS_MANAGE: gettext_noop("Change CFS plans, queues, pools and routing"),
    _P.UPKEEP_RUN: gettext_noop("Run upkeep and change its intervals"),
    _P.BACKUPS_MANAGE: gettext_noop("Change the plans of backups"),
    _P.CONTROLS_MANAGE: gettext_noop("Change the controls that jobs are checked against"),
    _P.CONTROLS_OVERRIDE: gettext_noop("Release jobs that controls hold"),
    _P.PEOPLE_VIEW: gettext_noop("View accounts and platform roles"),
    _P.PEOPLE_MANAGE: gettext_noop("Create, lock and unlock accounts, grant platform roles"),
}


def text_of(permission: Permission) -> str:
    """Return the untranslated description of a permission, or the permission's name if it has none."""
    return TEXTS.get(permission, permission.value)
