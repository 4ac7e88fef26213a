"""Known devices: a signed cookie that exempts a browser from the log-in limit of accounts that it has logged in to.

The cookie authenticates no one and grants no permission. It becomes invalid when the account's password changes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse

from tenants.database.platform_settings import platform_settings

LASTS: Final = timedelta(days=90)
# The most recent accounts that one browser is remembered for.
MAX_ACCOUNTS = 5
_SALT: Final = "tenants.devices"
_SEPARATOR: Final = "."
_MARK_CHARACTERS = 16


def remember_device(request: HttpRequest, response: HttpResponse) -> None:
    """Add the account of `request.user` to the browser's device cookie. The last MAX_ACCOUNTS accounts are kept."""
    mark = _mark_of(request.user)
    marks = [mark, *(other for other in _marks(request) if other != mark)]
    response.set_signed_cookie(
        platform_settings.DEVICE_COOKIE_NAME,
        _SEPARATOR.join(marks[:MAX_ACCOUNTS]),
        salt=_SALT,
        max_age=LASTS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def is_known_device(request: HttpRequest, name: str) -> bool:
    """Return whether this browser has logged in to the account with that user name under its current password."""
    marks = _marks(request)
    if not marks:
        return False
    users = get_user_model()
    user = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()
    return user is not None and _mark_of(user) in marks


def _marks(request: HttpRequest) -> list[str]:
    value = request.get_signed_cookie(platform_settings.DEVICE_COOKIE_NAME, "", salt=_SALT, max_age=LASTS)
    return value.split(_SEPARATOR) if value else []


def _mark_of(user: Any) -> str:
    return f"{user.pk}-{user.get_session_auth_hash()[:_MARK_CHARACTERS]}"
