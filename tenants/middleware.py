"""Middleware that sets the tenant scope and the actor of each request and opens its transaction.

Django's ATOMIC_REQUESTS opens a transaction around the view, which is a savepoint of this one: when the response is an
error, the view's writes are rolled back before this transaction commits. API views run without that savepoint; if they
fail, this transaction is rolled back.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.contrib.auth import logout
from django.contrib.auth.middleware import get_user
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.utils.functional import SimpleLazyObject
from structlog.contextvars import bound_contextvars

from tenants.access.actors import actor_of
from tenants.access.addresses import is_from
from tenants.access.caller import NO_ACCESS, Access, access_by_key, access_of_member, authenticate_api_key
from tenants.access.errors import KeyAddressError, KeyExpiredError, SecondFactorRequiredError
from tenants.access.memberships import remember_tenant_choice
from tenants.access.narrowed_routes import refuse_narrowed
from tenants.access.people_queries import find_user_roles
from tenants.access.permissions import PlatformRole
from tenants.access.sessions import is_session_over
from tenants.access.viewing import find_viewed
from tenants.api.problems import fault_response, problem_response, replace_page
from tenants.context import acting_as, scope_context
from tenants.database.ids import uuid7
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.exceptions import (
    BodiesBusyError,
    BodyTooLargeError,
    BodyTooSlowError,
    DatabaseUnavailableError,
    LengthRequiredError,
    NoMembershipError,
    TenantNotFoundError,
    TenantRequiredError,
    UrlInvalidError,
)
from tenants.identity.factors import lacks_factor, withheld_permissions
from tenants.models import Membership
from tenants.requests import long_polls
from tenants.requests.bodies import received_body
from tenants.tenancy.queries import find_tenant
from tenants.transactions import session_errors
from tenants.url_prefixes import API_PREFIX, CONSOLE_PREFIX

logger = logging.getLogger(__name__)

# The tenant that a member of several has chosen in the console.
SESSION_TENANT = "tenant_id"
# Seconds to Retry-After while the database is away.
RETRY_SECONDS = 5
_API_KEY_SCHEME = "api-key "
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class LongPollMiddleware:
    """Middleware for long polls, outside the request's transaction, so that a waiting request holds no connection.

    If the view returns a placeholder (`long_poll_response`), the middleware waits and then runs the view again.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        wait = getattr(request, "wait", None)
        if not isinstance(wait, long_polls.LongPoll):
            return response
        request.wait = None  # type: ignore[attr-defined]
        request.has_waited = True  # type: ignore[attr-defined]
        if not long_polls.places.acquire(blocking=False):
            _forget_user(request)
            return self.get_response(request)
        try:
            long_polls.release_resources(request)
            long_polls.poll_until_due(wait)
        finally:
            long_polls.places.release()
        _forget_user(request)
        with long_polls.polling_turn():
            return self.get_response(request)


class TenantMiddleware:
    """Middleware that determines the access of an API or console request and sets its tenant scope around the view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = _request_id(request)
        request.request_id = request_id  # type: ignore[attr-defined]
        with bound_contextvars(request_id=request_id):
            response = self._respond(request, request_id)
        response.headers["X-Request-ID"] = request_id
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponseBase | None:
        """Refuse to a narrowed role each route that does not declare that its rows are narrowed."""
        return refuse_narrowed(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Return a 503 response if the database fails at the commit, or a key is missing while a page is rendered."""
        if isinstance(exception, (OperationalError, InterfaceError)):
            return unavailable_response(request, exception)
        return problem_response(exception, cause=exception) if isinstance(exception, DataKeyUnavailableError) else None

    def _respond(self, request: HttpRequest, request_id: str) -> HttpResponseBase:
        is_api = request.path_info.startswith(API_PREFIX)
        if not is_api and not request.path_info.startswith(CONSOLE_PREFIX):
            return self._respond_outside(request)
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return problem_response(UrlInvalidError())
        try:
            access = find_access(request)
            request.access = access  # type: ignore[attr-defined]
            received = received_body(request, has_access=access.scope is not None, owner=access.own_tenant_id)
            with received, _context_of(access), acting_as(actor_of(request, access, request_id)):
                response = self.get_response(request)
        except (OperationalError, InterfaceError) as error:
            return _unavailable(error) if is_api else _unavailable_page(error)
        except DatabaseError as error:
            # Raised by the COMMIT, or by a statement sent with it.
            if not is_api:
                raise
            return fault_response(request, error)
        except (BodyTooLargeError, BodyTooSlowError, LengthRequiredError, BodiesBusyError) as refusal:
            return problem_response(refusal)
        if is_api and response.status_code >= 400 and isinstance(response, HttpResponse):
            return replace_page(response)
        return response

    def _respond_outside(self, request: HttpRequest) -> HttpResponseBase:
        """Answer at a URL without access; the CSRF check reads the body of a form there."""
        try:
            with received_body(request, has_access=False):
                return self.get_response(request)
        except BodyTooLargeError as refusal:
            return problem_response(refusal)


def unavailable_response(request: HttpRequest, error: Exception) -> HttpResponseBase | None:
    """Return a 503 response, as a problem under the API and as a page in the console; None for other paths."""
    if request.path_info.startswith(API_PREFIX):
        return _unavailable(error)
    return _unavailable_page(error) if request.path_info.startswith(CONSOLE_PREFIX) else None


def _unavailable(error: Exception) -> HttpResponseBase:
    return problem_response(DatabaseUnavailableError(retry_after_seconds=RETRY_SECONDS), cause=error)


def _unavailable_page(error: Exception) -> HttpResponseBase:
    logger.warning("console.database_away", exc_info=error)
    page = render_to_string("tenants/admin/unavailable.html", {"seconds": RETRY_SECONDS})
    return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_SECONDS)})


def find_access(request: HttpRequest) -> Access:
    """Return the access of a request, by its API key or its session; `NO_ACCESS` if neither is valid.

    A session that is over is logged out.
    """
    is_api = request.path_info.startswith(API_PREFIX)
    authorization = request.headers.get("Authorization", "")
    if is_api and authorization.lower().startswith(_API_KEY_SCHEME):
        return _access_by_key(authorization[len(_API_KEY_SCHEME) :].strip(), request)
    user = request.user
    if not user.is_authenticated:
        return NO_ACCESS
    access = _access_of_person(request, user, is_api=is_api)
    if is_session_over(request, access.stored_settings):
        logout(request)
        return NO_ACCESS
    if lacks_factor(user, access):
        return Access(platform_role=access.platform_role, refusal=SecondFactorRequiredError())
    return replace(access, withheld=withheld_permissions(request, access)) if is_api else access


def _access_of_person(request: HttpRequest, user: Any, *, is_api: bool) -> Access:
    places = find_user_roles(user)
    if places.platform_role is not None:
        return _platform_access(request, places.platform_role, is_api=is_api)
    memberships = places.memberships
    chosen = _choose_by_header(request, memberships) if is_api else _choose_by_session(request, memberships)
    if isinstance(chosen, Membership):
        return access_of_member(chosen)
    return chosen


def _access_by_key(token: str, request: HttpRequest) -> Access:
    try:
        key = authenticate_api_key(token=token, is_from=partial(is_from, request))
    except (KeyExpiredError, KeyAddressError) as refusal:
        # Without the key: its holder is not accepted, so that the request draws on the bucket of its address.
        return Access(refusal=refusal)
    if key is None:
        return NO_ACCESS
    named = request.headers.get("X-Tenant")
    if named is None or (key.tenant is not None and named == key.tenant.slug):
        return access_by_key(key)
    if key.tenant is not None:
        return access_by_key(key, refusal=_no_such_tenant(named))
    try:
        return access_by_key(key, find_tenant(named))
    except TenantNotFoundError as refusal:
        return access_by_key(key, refusal=refusal)


def _platform_access(request: HttpRequest, role: PlatformRole, *, is_api: bool) -> Access:
    if not is_api:
        viewed = find_viewed(request)
        return Access(platform_role=role, tenant=viewed, is_viewing=viewed is not None)
    named = request.headers.get("X-Tenant")
    try:
        return Access(platform_role=role, tenant=None if named is None else find_tenant(named))
    except TenantNotFoundError as refusal:
        return Access(platform_role=role, refusal=refusal)


def _choose_by_header(request: HttpRequest, memberships: list[Membership]) -> Membership | Access:
    named = request.headers.get("X-Tenant")
    if named is not None:
        # Another tenant and a missing one give the same answer.
        chosen = [membership for membership in memberships if membership.tenant.slug == named]
        return chosen[0] if chosen else Access(refusal=_no_such_tenant(named))
    if not memberships:
        return Access(refusal=NoMembershipError())
    return memberships[0] if len(memberships) == 1 else Access(refusal=TenantRequiredError())


def _choose_by_session(request: HttpRequest, memberships: list[Membership]) -> Membership | Access:
    chosen = request.session.get(SESSION_TENANT)
    if found := [membership for membership in memberships if str(membership.tenant_id) == chosen]:
        return found[0]
    if not memberships:
        return Access(refusal=NoMembershipError())
    return max(memberships, key=_rank_of)


def _rank_of(membership: Membership) -> tuple[datetime, float]:
    """Return the sort key: the tenant chosen last, else the longest membership."""
    return membership.last_chosen_at or datetime.min.replace(tzinfo=UTC), -membership.created_at.timestamp()


def choose_tenant(request: HttpRequest, membership: Membership) -> None:
    """Make the membership's tenant the one that the console shows, from the next request on and after later log-ins."""
    request.session[SESSION_TENANT] = str(membership.tenant_id)
    remember_tenant_choice(membership=membership)


def _no_such_tenant(slug: str) -> TenantNotFoundError:
    return TenantNotFoundError("There is no tenant %(slug)r.", {"slug": slug})


@contextmanager
def _context_of(access: Access) -> Iterator[None]:
    if access.scope is not None:
        with scope_context(access.scope):
            yield
        return
    with session_errors(connection), transaction.atomic():
        yield


def _request_id(request: HttpRequest) -> str:
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid7().hex


def _forget_user(request: HttpRequest) -> None:
    """Reload the session's account at its next use: it may have lost its permissions."""
    if hasattr(request, "session"):
        request.user = SimpleLazyObject(lambda: _user_of(request))  # type: ignore[assignment]


def _user_of(request: HttpRequest) -> object:
    request.__dict__.pop("_cached_user", None)
    return get_user(request)
