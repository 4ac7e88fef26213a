"""Acts of this app that can need a second person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from tenants.access.permissions import Permission
from tenants.approvals.acts import Act
from tenants.database.reads import first_or_raise
from tenants.erasure.requests import request_erasure
from tenants.exceptions import TenantNotFoundError
from tenants.models import Tenant
from tenants.plans.queries import get_plan
from tenants.plans.service import PLANS
from tenants.tenancy.service import update_tenant


def _find(tenant_id: str) -> Tenant:
    return first_or_raise(Tenant.objects.filter(pk=tenant_id), TenantNotFoundError)


def _erase(arguments: dict[str, Any]) -> None:
    tenant = _find(arguments["tenant"])
    request_erasure(tenant=tenant, reason=arguments["reason"], confirm=tenant.slug)


def _change_plan(arguments: dict[str, Any]) -> None:
    if "tenant" in arguments:
        update_tenant(**{**arguments, "tenant": _find(arguments["tenant"])})
        return
    if "withdraw" in arguments:
        PLANS.withdraw(get_plan(arguments["plan"]), arguments["withdraw"], reason=arguments["reason"])
        return
    options = dict(arguments)
    plan, content, moment = get_plan(options.pop("plan")), options.pop("content"), options.pop("effective_from")
    PLANS.edit(plan, lambda _: content, effective_from=moment and datetime.fromisoformat(moment), **options)


ACTS = (
    Act("erasure", _("Erase a tenant"), Permission.TENANTS_ERASE, _erase),
    Act("plan", _("Change a plan, or the plan of a tenant"), Permission.PLANS_MANAGE, _change_plan),
    Act("api_key", _("Issue an API key that reads results"), Permission.API_KEYS_MANAGE),
    Act("policy", _("Change the rules of approvals"), Permission.PEOPLE_MANAGE),
)
