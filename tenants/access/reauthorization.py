"""Repeated permission checks during long responses."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user
from django.http import HttpRequest

from tenants.access.caller import NO_ACCESS, Access, access_by_key, access_of, access_of_member
from tenants.access.key_queries import find_valid_key, find_valid_keys
from tenants.access.people_queries import find_user_roles
from tenants.access.permissions import Permission
from tenants.access.sessions import is_session_over


class PermissionRevokedError(Exception):
    """Raised when the receiver of a streamed response has lost the permission; the response is aborted, unfinished."""


def require_still_authorized(request: HttpRequest, permission: Permission) -> None:
    """Raise `PermissionRevokedError` if the caller no longer has the permission.

    Call it before each page of a stream.
    """
    if not is_still_authorized(request, permission):
        raise PermissionRevokedError


def is_still_authorized(request: HttpRequest, permission: Permission) -> bool:
    """Return whether the caller still has the permission, according to the API key or account as now stored.

    Return False if the role is narrowed otherwise than when the request began.
    """
    began = access_of(request)
    now = _by_key(began) if began.api_key is not None else _by_user(request, began)
    return now.narrowing == began.narrowing and now.may(permission)


def find_revoked(asked: Iterable[tuple[HttpRequest, Permission]]) -> set[HttpRequest]:
    """Return the requests whose callers have lost the permission paired with them.

    All API keys are read with one statement, and each session is checked once.
    """
    pairs = list(asked)
    keys = find_valid_keys({key.pk for request, _ in pairs if (key := access_of(request).api_key) is not None})
    by_login: dict[object, Access] = {}
    lost = set()
    for request, permission in pairs:
        began = access_of(request)
        if began.api_key is not None:
            key = keys.get(began.api_key.pk)
            access = access_by_key(key, began.tenant)
        else:
            login = (request.session.session_key, None if began.tenant is None else began.tenant.pk)
            if login not in by_login:
                by_login[login] = _by_session(request, began)
            access = by_login[login]
        if access.narrowing != began.narrowing or not access.may(permission):
            lost.add(request)
    return lost


def _by_session(request: HttpRequest, began: Access) -> Access:
    """Return the current access of a session, or `NO_ACCESS` if it has ended."""
    key = request.session.session_key
    if key is None or not request.session.exists(key):
        return NO_ACCESS
    access = _by_user(request, began)
    return NO_ACCESS if is_session_over(request, access.stored_settings) else access


def _by_key(began: Access) -> Access:
    key = None if began.api_key is None else find_valid_key(began.api_key.pk)
    return access_by_key(key, began.tenant)


def _by_user(request: HttpRequest, began: Access) -> Access:
    user = get_user(request)
    if not user.is_authenticated:
        return NO_ACCESS
    places = find_user_roles(user)
    if places.platform_role is not None:
        return Access(platform_role=places.platform_role, tenant=began.tenant, is_viewing=began.is_viewing)
    for membership in places.memberships:
        if membership.tenant == began.tenant:
            return access_of_member(membership)
    return NO_ACCESS
