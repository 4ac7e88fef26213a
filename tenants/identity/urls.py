"""URLs of sign-in by OpenID Connect and of second factors, below the console.

They are the pages of django-allauth that the platform uses; its pages for signing up, passwords and addresses are left
out.
"""

from __future__ import annotations

from allauth.account.views import logout, reauthenticate
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from tenants.identity.views import provider_callback, provider_login

urlpatterns: list[URLPattern | URLResolver] = [
    # allauth's names of the console's own page, and of the way out of a sign-in that waits for its second factor.
    path("", RedirectView.as_view(pattern_name="admin:login"), name="account_login"),
    path("cancel/", logout, name="account_logout"),
    path("password/", reauthenticate, name="account_reauthenticate"),
    path("second-factor/", include("allauth.mfa.urls")),
    path("<slug:provider_id>/", provider_login, name="openid_connect_login"),
    path("<slug:provider_id>/callback/", provider_callback, name="openid_connect_callback"),
]
