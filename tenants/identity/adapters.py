"""Adapters through which django-allauth follows the platform's policy."""

from __future__ import annotations

from typing import Any, NoReturn, override

import requests
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base import AuthError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext

from tenants.audit.service import record_audit
from tenants.context import Actor, acting_as, all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.exceptions import LastAdminError
from tenants.identity.pages import logger, provider_away_page, refusal_page
from tenants.identity.protocol import ProviderProtocol
from tenants.identity.service import apply_claims, gives_role, record_refused_sign_in
from tenants.secrets.signing import seal, unseal


class AccountAdapter(DefaultAccountAdapter):
    """Policy of log-ins: no account is made by signing up, and a deactivated one is refused with a page."""

    @override
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Return False: accounts are made by administrators, by invitations, and by the provider."""
        return False

    @override
    def login(self, request: HttpRequest, user: Any) -> None:
        """Log the account in, in the name of the backend that finds it again."""
        user.backend = "django.contrib.auth.backends.ModelBackend"
        super().login(request, user)

    @override
    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """Return the page of a deactivated account."""
        return refusal_page(
            request,
            gettext("This account is deactivated"),
            gettext("Ask an admin of the platform to activate it."),
        )


class ProviderAdapter(DefaultSocialAccountAdapter):
    """Policy of sign-ins through the OpenID Connect provider."""

    @override
    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Return True: an account of the provider gets one here."""
        return True

    @override
    def get_provider(self, request: HttpRequest, provider: Any, client_id: Any = None) -> Any:
        """Return the provider, whose discovery document is checked."""
        found = super().get_provider(request, provider, client_id)
        found.oauth2_adapter_class = ProviderProtocol
        return found

    @override
    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Give a known account the roles of its claims; end the request with 403 if it has none then."""
        data, subject = sociallogin.account.extra_data, sociallogin.account.uid
        user = sociallogin.user if sociallogin.is_existing else None
        try:
            request_id = getattr(request, "request_id", "")
            has_role = gives_role(data) if user is None else apply_claims(user=user, data=data, request_id=request_id)
        except LastAdminError as refusal:
            self._refuse(request, user, subject, refusal.detail)
        if not has_role:
            self._refuse(
                request,
                user,
                subject,
                gettext("None of your groups gives you a role here. Ask an admin of the platform for a claim rule."),
            )

    def _refuse(self, request: HttpRequest, user: Any, subject: str, text: str) -> NoReturn:
        record_refused_sign_in(request, user=user, subject=subject, reason=text)
        raise ImmediateHttpResponse(refusal_page(request, gettext("You have no access"), text))

    @override
    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> Any:
        """Create the account of a person who signs in for the first time, with the roles of its claims."""
        user = super().save_user(request, sociallogin, form)
        after = {"name": user.get_username(), "email": user.email, "provider": platform_settings.OIDC_NAME}
        request_id = getattr(request, "request_id", "")
        with all_tenants(), acting_as(Actor(kind="system", id="claims", label="sign-in", request_id=request_id)):
            record_audit(action="user.created", target=user, after=after)
        apply_claims(user=user, data=sociallogin.account.extra_data, request_id=request_id)
        return user

    @override
    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[Any]:
        """Return the provider of the settings; the table of providers is not used."""
        apps: list[Any] = super().list_apps(request, provider, client_id)
        return [app for app in apps if app.pk is None]

    @override
    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """End the request with a page: 503 if the provider is away, 401 otherwise."""
        if isinstance(exception, requests.RequestException):
            raise ImmediateHttpResponse(provider_away_page(request, exception))
        logger.warning("oidc.refused", error=str(exception or error)[:500])
        if error == AuthError.CANCELLED:
            text = gettext("The sign-in was cancelled.")
        else:
            text = gettext("The answer of the sign-in service was not accepted: it was late, repeated or not valid.")
        title = gettext("Sign-in with %(provider)s did not succeed") % {"provider": platform_settings.OIDC_NAME}
        raise ImmediateHttpResponse(refusal_page(request, title, text, status=401))


class FactorAdapter(DefaultMFAAdapter):
    """Policy of second factors: their secrets are stored encrypted."""

    @override
    def encrypt(self, text: str) -> str:
        """Return a secret as it is stored."""
        return seal(text)

    @override
    def decrypt(self, encrypted_text: str) -> str:
        """Return a stored secret."""
        return unseal(encrypted_text)
