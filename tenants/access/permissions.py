"""Permissions and roles, shared by the API, the console and the management commands.

A role is a set of permissions. A tenant role applies within its tenant; a platform role applies in every tenant and to
rows that belong to no tenant. An API key has the permissions that its scopes name, at most `KEY_PERMISSIONS`, or
`PLATFORM_KEY_PERMISSIONS` if it is the platform's. A view, page or action that declares no permission is forbidden to
all. docs/reference/permissions.md shows the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Permission(StrEnum):
    """The name of a permission. API key scopes, the API schema and the audit log use this value."""

    TENANT_VIEW = "tenant.view"  # the tenant itself, its plan, limits and usage
    TENANT_MANAGE = "tenant.manage"  # its settings
    TENANT_PAUSE = "tenant.pause"
    MEMBERS_VIEW = "members.view"
    MEMBERS_MANAGE = "members.manage"
    API_KEYS_VIEW = "api_keys.view"
    API_KEYS_MANAGE = "api_keys.manage"
    JOBS_VIEW = "jobs.view"  # jobs, their history, batches, dead letters
    JOBS_SUBMIT = "jobs.submit"
    JOBS_CANCEL = "jobs.cancel"  # cancel, suspend, resume
    JOBS_RETRY = "jobs.retry"  # retry, requeue
    JOBS_BULK = "jobs.bulk"  # act on all jobs of a filter; change priorities and queues
    TEMPLATES_RUN = "templates.run"  # job templates whose runners include the role, or all with jobs.submit
    TEMPLATES_MANAGE = "templates.manage"  # job templates, and who may run each
    JOBS_RESULTS = "jobs.results"  # results in the clear
    JOBS_REVEAL = "jobs.reveal"  # payloads and results in the clear
    LOGS_VIEW = "logs.view"  # log lines and tracebacks of jobs
    DATASETS_VIEW = "datasets.view"
    DATASETS_MANAGE = "datasets.manage"
    FILES_VIEW = "files.view"  # metadata of files
    FILES_DOWNLOAD = "files.download"  # content of files
    FILES_MANAGE = "files.manage"  # upload, delete
    WORKFLOWS_VIEW = "workflows.view"  # definitions, and questions of runs
    WORKFLOWS_MANAGE = "workflows.manage"
    WORKFLOWS_APPROVE = "workflows.approve"  # answer questions of runs
    PIPELINES_VIEW = "pipelines.view"
    PIPELINES_MANAGE = "pipelines.manage"  # edit, run, retry entities
    SCHEDULES_VIEW = "schedules.view"
    SCHEDULES_MANAGE = "schedules.manage"
    WEBHOOKS_MANAGE = "webhooks.manage"  # endpoints of the tenant's events
    ALERTS_RESPOND = "alerts.respond"  # acknowledge, note, silence, send a test
    ALERTS_MANAGE = "alerts.manage"  # rules, contacts, routes, owners, objectives
    SECRETS_USE = "secrets.use"  # see names and hosts of stored secrets, save references to them
    SECRETS_MANAGE = "secrets.manage"  # store, rotate, delete; a value is never shown
    AUDIT_VIEW = "audit.view"
    AUDIT_EXPORT = "audit.export"
    APPROVALS_DECIDE = "approvals.decide"  # approve or reject acts of others, with the permission of the act
    # Permissions on rows of no tenant.
    PLATFORM_VIEW = "platform.view"  # queues, pools, workers, fairness, upkeep: numbers of all tenants
    QUEUES_OPERATE = "queues.operate"  # pause, resume, drain queues, kinds, pools
    TENANTS_OPERATE = "tenants.operate"  # suspend, reinstate
    TENANTS_MANAGE = "tenants.manage"  # create, change plan and limits
    TENANTS_ERASE = "tenants.erase"
    PLANS_MANAGE = "plans.manage"  # tiers, plans
    FAIRNESS_MANAGE = "fairness.manage"  # CFS plans, queues, pools, routing
    UPKEEP_RUN = "upkeep.run"
    BACKUPS_MANAGE = "backups.manage"  # plans of backups
    CONTROLS_MANAGE = "controls.manage"  # compliance controls
    CONTROLS_OVERRIDE = "controls.override"  # release jobs that controls hold
    PEOPLE_VIEW = "people.view"
    PEOPLE_MANAGE = "people.manage"  # users and platform roles


class PlatformRole(StrEnum):
    """The role of a user for the whole platform."""

    ADMIN = "admin"
    OPERATOR = "operator"
    AUDITOR = "auditor"


_P = Permission
_VIEWER: Final = frozenset(
    {
        _P.TENANT_VIEW,
        _P.JOBS_VIEW,
        _P.TEMPLATES_RUN,
        _P.LOGS_VIEW,
        _P.DATASETS_VIEW,
        _P.FILES_VIEW,
        _P.WORKFLOWS_VIEW,
        _P.PIPELINES_VIEW,
        _P.SCHEDULES_VIEW,
        _P.MEMBERS_VIEW,
    }
)
_DEVELOPER: Final = _VIEWER | {
    _P.TENANT_PAUSE,
    _P.API_KEYS_VIEW,
    _P.JOBS_SUBMIT,
    _P.JOBS_CANCEL,
    _P.JOBS_RETRY,
    _P.JOBS_BULK,
    _P.TEMPLATES_MANAGE,
    _P.JOBS_RESULTS,
    _P.JOBS_REVEAL,
    _P.DATASETS_MANAGE,
    _P.FILES_DOWNLOAD,
    _P.FILES_MANAGE,
    _P.WORKFLOWS_MANAGE,
    _P.WORKFLOWS_APPROVE,
    _P.PIPELINES_MANAGE,
    _P.SCHEDULES_MANAGE,
    _P.ALERTS_RESPOND,
    _P.SECRETS_USE,
    _P.AUDIT_VIEW,
    _P.APPROVALS_DECIDE,
}
_OWNER: Final = _DEVELOPER | {
    _P.TENANT_MANAGE,
    _P.MEMBERS_MANAGE,
    _P.API_KEYS_MANAGE,
    _P.WEBHOOKS_MANAGE,
    _P.ALERTS_MANAGE,
    _P.SECRETS_MANAGE,
    _P.AUDIT_EXPORT,
}
_AUDITOR: Final = (_VIEWER - {_P.TEMPLATES_RUN}) | {
    _P.API_KEYS_VIEW,
    _P.AUDIT_VIEW,
    _P.AUDIT_EXPORT,
    _P.PLATFORM_VIEW,
    _P.PEOPLE_VIEW,
}
_OPERATOR: Final = _AUDITOR | {
    _P.TENANT_PAUSE,
    _P.JOBS_SUBMIT,
    _P.JOBS_CANCEL,
    _P.JOBS_RETRY,
    _P.JOBS_BULK,
    _P.TEMPLATES_RUN,
    _P.SCHEDULES_MANAGE,
    _P.ALERTS_RESPOND,
    _P.ALERTS_MANAGE,
    _P.APPROVALS_DECIDE,
    _P.QUEUES_OPERATE,
    _P.TENANTS_OPERATE,
    _P.UPKEEP_RUN,
}

# By the value of `tenants.access.models.Role`.
TENANT_ROLES: Final[Mapping[str, frozenset[Permission]]] = {
    "owner": _OWNER,
    "developer": _DEVELOPER,
    "viewer": _VIEWER,
}
PLATFORM_ROLES: Final[Mapping[PlatformRole, frozenset[Permission]]] = {
    PlatformRole.ADMIN: frozenset(Permission),
    PlatformRole.OPERATOR: _OPERATOR,
    PlatformRole.AUDITOR: _AUDITOR,
}
# Decisions about a tenant and its people, approvals, overrides of controls, and payloads in the clear require a
# logged-in person.
NEEDS_PERSON: Final = frozenset(
    {
        _P.TENANT_MANAGE,
        _P.MEMBERS_MANAGE,
        _P.API_KEYS_MANAGE,
        _P.SECRETS_MANAGE,
        _P.WORKFLOWS_APPROVE,
        _P.JOBS_REVEAL,
        _P.APPROVALS_DECIDE,
        _P.CONTROLS_OVERRIDE,
    }
)
KEY_PERMISSIONS: Final = _OWNER - NEEDS_PERSON
# A key of the platform has them in all tenants. Erasures and accounts of people require a logged-in person, too.
PLATFORM_KEY_PERMISSIONS: Final = frozenset(Permission) - NEEDS_PERSON - {_P.TENANTS_ERASE, _P.PEOPLE_MANAGE}
# The developer permissions that a key can have: a choice of the command line and the demo, never a default.
DEVELOPER_KEY_SCOPES: Final = _DEVELOPER & KEY_PERMISSIONS
# Permissions that change nothing: all that members and keys of a suspended tenant keep.
READ_ONLY: Final = frozenset(
    {permission for permission in Permission if permission.endswith(".view")}
    | {_P.JOBS_RESULTS, _P.JOBS_REVEAL, _P.FILES_DOWNLOAD, _P.AUDIT_EXPORT}
)
# Rights of a role that is narrowed to queues, kinds or datasets: their rows can be narrowed.
NARROWABLE: Final = frozenset(
    {
        _P.JOBS_VIEW,
        _P.JOBS_SUBMIT,
        _P.JOBS_CANCEL,
        _P.JOBS_RETRY,
        _P.JOBS_RESULTS,
        _P.JOBS_REVEAL,
        _P.LOGS_VIEW,
        _P.DATASETS_VIEW,
        _P.DATASETS_MANAGE,
        _P.FILES_VIEW,
        _P.FILES_DOWNLOAD,
    }
)
NOTHING: Final[frozenset[Permission]] = frozenset()


@lru_cache(maxsize=1_000)
def read_scopes(scopes: tuple[str, ...], *, is_of_platform: bool = False) -> frozenset[Permission]:
    """Return the permissions that an API key's scopes name. Unknown names grant nothing."""
    return key_permissions(is_of_platform=is_of_platform) & {name for name in Permission if name in set(scopes)}


def key_permissions(*, is_of_platform: bool) -> frozenset[Permission]:
    """Return the permissions that a key of a tenant, or of the platform, can have."""
    return PLATFORM_KEY_PERMISSIONS if is_of_platform else KEY_PERMISSIONS
