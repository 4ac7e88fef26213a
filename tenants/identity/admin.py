"""Removal of django-allauth's own pages from the console.

They would show claims and secrets, change rows without audit entries, and ask Django's permissions.
"""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken

from tenants.console.site import console_site

console_site.unregister([EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken])
