"""Pages of a sign-in that did not succeed."""

from __future__ import annotations

import structlog
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext

from tenants.console.site import console_site
from tenants.database.platform_settings import platform_settings

logger = structlog.stdlib.get_logger("tenants.identity")

RETRY_SECONDS = 30


def refusal_page(request: HttpRequest, title: str, text: str, *, status: int = 403) -> HttpResponse:
    """Return a page that says why a sign-in did not succeed and what to do, with a link to the log-in."""
    context = {**console_site.each_context(request), "title": title, "text": text}
    return render(request, "tenants/admin/sign_in_refused.html", context, status=status)


def provider_away_page(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return a 503 page for a provider that does not answer as one, and log the error."""
    logger.warning("oidc.provider_away", issuer=platform_settings.OIDC_ISSUER, error=str(error)[:500])
    page = refusal_page(
        request,
        gettext("%(provider)s is unavailable") % {"provider": platform_settings.OIDC_NAME},
        gettext(
            "The sign-in service does not answer. Nothing is lost: jobs run on, and open sessions and API keys stay "
            "valid. Try again in a minute, or log in with a local account."
        ),
        status=503,
    )
    page.headers["Retry-After"] = str(RETRY_SECONDS)
    return page


def codes_away_page(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return a 503 page for a code that cannot be checked, and log the error."""
    logger.warning("second_factor.redis_away", error=str(error)[:500])
    page = refusal_page(
        request,
        gettext("Codes cannot be checked"),
        gettext("Redis, which counts the codes that were tried, does not answer. Try again in a minute."),
        status=503,
    )
    page.headers["Retry-After"] = str(RETRY_SECONDS)
    return page
