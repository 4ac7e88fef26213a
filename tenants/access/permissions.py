"""What may be done, and which role may do it: one list for API, console and commands.

A role is a set of permissions. Tenant roles hold within their tenant; platform roles hold in every tenant and for
what is no tenant's. An API key has the permissions of its scopes, which never exceed `KEY_PERMISSIONS`. What no
view, page or act declares, nobody may do. docs/reference/permissions.md shows the whole as a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Permission(StrEnum):
    """A named right; the value is what scopes, the schema and the audit log call it."""

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
    JOBS_RESULTS = "jobs.results"  # results in the clear
    JOBS_REVEAL = "jobs.reveal"  # payloads and results in the clear
    LOGS_VIEW = "logs.view"  # what jobs have logged, tracebacks
    DATASETS_VIEW = "datasets.view"
    DATASETS_MANAGE = "datasets.manage"
    FILES_VIEW = "files.view"  # which files there are
    FILES_DOWNLOAD = "files.download"  # what is in them
    FILES_MANAGE = "files.manage"  # upload, delete
    WORKFLOWS_VIEW = "workflows.view"  # definitions, and what runs ask
    WORKFLOWS_MANAGE = "workflows.manage"
    WORKFLOWS_APPROVE = "workflows.approve"  # answer what runs ask
    PIPELINES_VIEW = "pipelines.view"
    PIPELINES_MANAGE = "pipelines.manage"  # edit, run, try entities again
    SCHEDULES_VIEW = "schedules.view"
    SCHEDULES_MANAGE = "schedules.manage"
    WEBHOOKS_MANAGE = "webhooks.manage"  # where the tenant's events are sent
    SECRETS_USE = "secrets.use"  # see names and hosts of stored secrets, save what refers to one
    SECRETS_MANAGE = "secrets.manage"  # store, rotate, delete; a value is never shown
    AUDIT_VIEW = "audit.view"
    AUDIT_EXPORT = "audit.export"
    # What is no tenant's.
    PLATFORM_VIEW = "platform.view"  # queues, pools, workers, fairness, upkeep: everybody's numbers
    QUEUES_OPERATE = "queues.operate"  # pause, resume, drain queues, kinds, pools
    TENANTS_OPERATE = "tenants.operate"  # suspend, reinstate
    TENANTS_MANAGE = "tenants.manage"  # create, change plan and limits
    TENANTS_ERASE = "tenants.erase"
    PLANS_MANAGE = "plans.manage"  # tiers, plans
    FAIRNESS_MANAGE = "fairness.manage"  # CFS plans, queues, pools, routing
    UPKEEP_RUN = "upkeep.run"
    PEOPLE_VIEW = "people.view"
    PEOPLE_MANAGE = "people.manage"  # users and platform roles


class PlatformRole(StrEnum):
    """What a person may do for the platform as a whole."""

    ADMIN = "admin"
    OPERATOR = "operator"
    AUDITOR = "auditor"


_P = Permission
_VIEWER: Final = frozenset(
    {
        _P.TENANT_VIEW,
        _P.JOBS_VIEW,
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
    _P.JOBS_RESULTS,
    _P.JOBS_REVEAL,
    _P.DATASETS_MANAGE,
    _P.FILES_DOWNLOAD,
    _P.FILES_MANAGE,
    _P.WORKFLOWS_MANAGE,
    _P.WORKFLOWS_APPROVE,
    _P.PIPELINES_MANAGE,
    _P.SCHEDULES_MANAGE,
    _P.SECRETS_USE,
    _P.AUDIT_VIEW,
}
_OWNER: Final = _DEVELOPER | {
    _P.TENANT_MANAGE,
    _P.MEMBERS_MANAGE,
    _P.API_KEYS_MANAGE,
    _P.WEBHOOKS_MANAGE,
    _P.SECRETS_MANAGE,
    _P.AUDIT_EXPORT,
}
_AUDITOR: Final = _VIEWER | {_P.API_KEYS_VIEW, _P.AUDIT_VIEW, _P.AUDIT_EXPORT, _P.PLATFORM_VIEW, _P.PEOPLE_VIEW}
_OPERATOR: Final = _AUDITOR | {
    _P.TENANT_PAUSE,
    _P.JOBS_SUBMIT,
    _P.JOBS_CANCEL,
    _P.JOBS_RETRY,
    _P.JOBS_BULK,
    _P.SCHEDULES_MANAGE,
    _P.QUEUES_OPERATE,
    _P.TENANTS_OPERATE,
    _P.UPKEEP_RUN,
}

# By the value of `tenants.models.Role`.
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
# Decisions about a tenant and its people, answers that a person has to give, and payloads in the clear need a log-in.
NEEDS_PERSON: Final = frozenset(
    {_P.TENANT_MANAGE, _P.MEMBERS_MANAGE, _P.API_KEYS_MANAGE, _P.SECRETS_MANAGE, _P.WORKFLOWS_APPROVE, _P.JOBS_REVEAL}
)
KEY_PERMISSIONS: Final = _OWNER - NEEDS_PERSON
# All that a key can have of a developer's rights: a choice for the command line and the demo, never a default.
DEVELOPER_KEY_SCOPES: Final = _DEVELOPER & KEY_PERMISSIONS
# What changes nothing: all that is left to the members and keys of a suspended tenant.
READ_ONLY: Final = frozenset(
    {permission for permission in Permission if permission.endswith(".view")}
    | {_P.JOBS_RESULTS, _P.JOBS_REVEAL, _P.FILES_DOWNLOAD, _P.AUDIT_EXPORT}
)
NOTHING: Final[frozenset[Permission]] = frozenset()


@lru_cache(maxsize=1_000)
def read_scopes(scopes: tuple[str, ...]) -> frozenset[Permission]:
    """The permissions of a key by the scopes that it was issued with; names that have gone grant nothing."""
    return KEY_PERMISSIONS & {permission for permission in Permission if permission in set(scopes)}
