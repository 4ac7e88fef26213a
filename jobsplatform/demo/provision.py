"""Preparation of the demonstration: the database schema, three tenants with API keys, and an administrator."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management import call_command

from jobsplatform.demo.measures import ShareTerms
from jobsplatform.demo.scenario import FILES_PER_BATCH, ROLES, TenantScenario
from tenants.access.api_keys import issue_api_key
from tenants.access.people import create_platform_admin
from tenants.access.permissions import DEVELOPER_KEY_SCOPES
from tenants.context import acting_as, all_tenants, command_actor
from tenants.exceptions import SlugTakenError
from tenants.limits.tenancy_limits import KEY_REQUESTS, TENANT_REQUESTS
from tenants.models import Plan, PlanLimit, Tenant
from tenants.plans.service import update_plan
from tenants.tenancy.queries import plan_limit
from tenants.tenancy.service import create_tenant

ACTOR = command_actor("demo")
# Units a minute, and burst, of a key and of a tenant.
REQUESTS = 100_000


@dataclass(frozen=True, slots=True)
class Participant:
    """A tenant of this run with its API key and the limits of its plan."""

    role: TenantScenario
    tenant_id: UUID
    slug: str
    token: str
    files_per_upload: int
    claim: ShareTerms


@dataclass(frozen=True, slots=True)
class Administrator:
    """Account for the console with its password, which is shown once."""

    username: str
    password: str


def migrate_database() -> None:
    """Apply all migrations."""
    call_command("migrate", verbosity=0, interactive=False)


def create_participants() -> list[Participant]:
    """Create the three tenants with their plans and an API key each."""
    with acting_as(ACTOR):
        return [_create_participant(role) for role in ROLES]


def create_administrator() -> Administrator:
    """Create a platform administrator with a generated password."""
    password = secrets.token_urlsafe(12)
    username = "admin"
    while get_user_model()._default_manager.filter(username=username).exists():  # a database that was used before
        username = f"admin-{secrets.token_hex(2)}"
    create_platform_admin(username=username, password=password)
    return Administrator(username, password)


def _create_participant(role: TenantScenario) -> Participant:
    tenant = _create_tenant(role)
    _raise_request_rates(tenant.plan)
    issued = issue_api_key(tenant=tenant, name="demo", scopes=DEVELOPER_KEY_SCOPES)
    limit = plan_limit(tenant, FILES_PER_BATCH)
    if limit is None:
        raise LookupError(f"The plan {role.plan!r} sets no {FILES_PER_BATCH}.")
    claim = ShareTerms(weight=float(tenant.effective_weight), cap=tenant.concurrency_cap)
    return Participant(role, tenant.pk, tenant.slug, issued.token, limit, claim)


def _raise_request_rates(plan: Plan) -> None:
    """Raise the request rates of the plan, because the demonstration polls thousands of jobs."""
    with all_tenants():
        limits = dict(PlanLimit.objects.filter(plan=plan).values_list("key", "value"))
        raised = {
            limit.key: REQUESTS for rate in (KEY_REQUESTS, TENANT_REQUESTS) for limit in (rate.per_minute, rate.burst)
        }
        update_plan(plan=plan, changes={}, limits=limits | raised, reason="The demonstration polls often.")


def _create_tenant(role: TenantScenario) -> Tenant:
    try:
        return create_tenant(slug=role.slug, plan=role.plan)
    except SlugTakenError:  # a database that was used before keeps its tenants; this run creates its own
        return create_tenant(slug=f"{role.slug}-{secrets.token_hex(2)}", plan=role.plan)
