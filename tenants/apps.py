"""App configuration of tenants."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, post_save
from django.utils.translation import gettext_lazy

import tenants.platform_settings  # noqa: F401 - declares the keys that this app reads
from tenants.limits.tenancy_limits import LIMITS


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = gettext_lazy("Tenants")
    api_urls = "tenants.api.urls"
    tenant_settings = "tenants.settings.tenancy_settings:SETTINGS"
    limits = LIMITS
    # What every account needs: sign-in, password, second factor, invitations, the choice of the tenant.
    narrowed_routes = (
        *(f"admin:{name}" for name in ("login", "logout", "jsi18n", "password_change", "password_change_done")),
        *(f"admin:{name}" for name in ("invitation", "tenants_tenant_choose")),
        *(f"account_{name}" for name in ("login", "logout", "reauthenticate")),
        *(f"mfa_{name}" for name in ("index", "authenticate", "reauthenticate", "activate_totp", "deactivate_totp")),
        *(f"mfa_{name}_recovery_codes" for name in ("view", "generate", "download")),
        *(f"openid_connect_{name}" for name in ("login", "callback")),
        *("api-root", "schema", "docs"),
    )
    measures_usage = "tenants.access.key_count.measure_usage"
    versioned = ("tenants.plans.service:PLANS",)
    approval_acts = ("tenants.approvals.tenancy_acts.ACTS",)

    def ready(self) -> None:
        from allauth.mfa.models import Authenticator
        from allauth.mfa.signals import authentication_failed, authenticator_removed
        from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
        from django.core.signals import request_started

        from tenants import checks
        from tenants.access import session_audit, sessions
        from tenants.database import grants
        from tenants.database.platform_settings import platform_settings
        from tenants.identity import factors
        from tenants.limits.service import warn_after_change
        from tenants.requests.bodies import wrap_body_input
        from tenants.signals import tenant_scheduling_changed
        from tenants.transactions import wrap_statements

        connection_created.connect(wrap_statements, dispatch_uid="tenants.scopes")
        connection_created.connect(checks.refuse_privileged_role, dispatch_uid="tenants.login_role")
        user_logged_in.connect(sessions.begin_session, dispatch_uid="tenants.sessions")
        if platform_settings.SITE_ROLE == "standby":
            # Django's own receiver, which writes a row as the others below do.
            user_logged_in.disconnect(dispatch_uid="update_last_login")
        else:
            user_logged_in.connect(session_audit.record_session_opened, dispatch_uid="tenants.session_opened")
            user_logged_in.connect(session_audit.record_break_glass, dispatch_uid="tenants.break_glass")
            user_logged_out.connect(session_audit.record_session_closed, dispatch_uid="tenants.session_closed")
            user_login_failed.connect(session_audit.record_session_refused, dispatch_uid="tenants.session_refused")
            authentication_failed.connect(session_audit.record_factor_refused, dispatch_uid="tenants.factor_refused")
        post_save.connect(factors.record_factor_added, sender=Authenticator, dispatch_uid="tenants.factor_added")
        authenticator_removed.connect(factors.record_factor_removed, dispatch_uid="tenants.factor_removed")
        # The signal is sent for each app after all migrations; once is enough.
        post_migrate.connect(grants.grant_after_migrate, sender=self, dispatch_uid="tenants.grants")
        request_started.connect(wrap_body_input, dispatch_uid="tenants.bodies")
        tenant_scheduling_changed.connect(warn_after_change, dispatch_uid="tenants.limits")
