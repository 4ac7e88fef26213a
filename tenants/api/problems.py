"""Error responses as problem details (RFC 9457): `type, title, status, code, detail, errors`.

The codes are stable. If a limit of the tenant was reached, the body also has `limit`: its key, unit, allowed and used
amounts, and when it resets.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.handlers.exception import response_for_exception
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext, gettext_noop
from psycopg.errors import UniqueViolation
from rest_framework import exceptions as rest
from rest_framework.response import Response
from rest_framework.views import set_rollback

from tenants.exceptions import (
    BodyTooLargeError,
    Category,
    DatabaseUnavailableError,
    DomainError,
    FieldInvalidError,
    RowTakenError,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
STATUS_BY_CATEGORY: Final[dict[Category, HTTPStatus]] = {
    "malformed": HTTPStatus.BAD_REQUEST,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "conflict": HTTPStatus.CONFLICT,
    "stale": HTTPStatus.PRECONDITION_FAILED,
    "too_slow": HTTPStatus.REQUEST_TIMEOUT,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "limited": HTTPStatus.TOO_MANY_REQUESTS,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "not_served": HTTPStatus.SERVICE_UNAVAILABLE,
}
# 429 and 503 carry Retry-After, in seconds, unless a retry cannot help.
_DEFAULT_RETRY_AFTER: Final[dict[Category, int]] = {"limited": 1, "unavailable": 5}
_CODE_BY_STATUS: Final = {
    400: "malformed",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    412: "stale",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    500: "internal_error",
    503: "unavailable",
}
# Literals of our own: Python's phrases differ between versions.
_PHRASES: Final = {
    400: gettext_noop("Bad Request."),
    401: gettext_noop("Unauthorized."),
    403: gettext_noop("Forbidden."),
    404: gettext_noop("Not Found."),
    405: gettext_noop("Method Not Allowed."),
    406: gettext_noop("Not Acceptable."),
    412: gettext_noop("Precondition Failed."),
    413: gettext_noop("The body is too large."),
    415: gettext_noop("Unsupported Media Type."),
    429: gettext_noop("Too Many Requests."),
    500: gettext_noop("Internal Server Error."),
    503: gettext_noop("Service Unavailable."),
}


def problem_details(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the problem response of an expected error, or None, so that other errors propagate.

    This is REST framework's exception handler. It marks the transaction for rollback.
    """
    answer = _answer(error)
    if answer is None:
        return None
    set_rollback()
    status, body, headers = answer
    return Response(body, status=status, headers=headers, content_type=MEDIA_TYPE)


def problem_response(error: DomainError, *, cause: Exception | None = None) -> HttpResponse:
    """Return the problem response of a domain error as a Django response, for a middleware that refuses a request.

    `cause` is logged with its traceback.
    """
    if cause is not None:
        logger.warning("Request refused: %s", error.code, exc_info=cause)
    status, body, headers = _answer_domain_error(error)
    return HttpResponse(json.dumps(body), status=status, headers=headers, content_type=MEDIA_TYPE)


def fault_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return the problem response of an error that was raised after the view, such as at its transaction's commit."""
    answer = _answer(error)
    if answer is None:
        return replace_page(response_for_exception(request, error))
    status, body, headers = answer
    return HttpResponse(json.dumps(body), status=status, headers=headers, content_type=MEDIA_TYPE)


def replace_page(response: HttpResponse) -> HttpResponse:
    """Return a problem response in place of Django's HTML error page; any other response is returned unchanged."""
    if response.status_code < 400 or not response.headers.get("Content-Type", "").startswith("text/html"):
        return response
    body = _body(response.status_code, _code(response.status_code), _phrase(response.status_code))
    replaced = HttpResponse(json.dumps(body), status=response.status_code, content_type=MEDIA_TYPE)
    replaced.cookies = response.cookies
    return replaced


def _answer(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]] | None:
    """Return status, body and headers of an expected error, or None."""
    if isinstance(error, DomainError):
        return _answer_domain_error(error)
    if isinstance(error, rest.APIException):
        return _answer_rest_error(error)
    if isinstance(error, (Http404, PermissionDenied)):
        return _answer_rest_error(rest.NotFound() if isinstance(error, Http404) else rest.PermissionDenied())
    if isinstance(error, (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)):
        return _answer_domain_error(BodyTooLargeError(str(error)))
    if isinstance(error, SuspiciousOperation):
        return _answer_rest_error(rest.ParseError(gettext("The request was tampered with.")))
    return _answer_database_error(error)


def _answer_database_error(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]] | None:
    if isinstance(error, (OperationalError, InterfaceError)):
        logger.warning("The database did not respond", exc_info=error)
        return _answer_domain_error(DatabaseUnavailableError())
    if isinstance(error, IntegrityError) and isinstance(error.__cause__, UniqueViolation):
        # Another request has committed after the check for such a row.
        return _answer_domain_error(RowTakenError())
    if isinstance(error, DataError):
        # PostgreSQL refused a value that validation accepted: an error of the caller, and a gap in validation to log.
        logger.error("A value was refused by the database", exc_info=error)
        return _answer_domain_error(FieldInvalidError("A value is out of the range that can be stored."))
    return None


def _answer_domain_error(error: DomainError) -> tuple[int, dict[str, Any], dict[str, str]]:
    status = STATUS_BY_CATEGORY[error.category]
    body = _body(status, error.code, gettext(error.title), error.detail, error.errors)
    if error.limit is not None:
        body["limit"] = error.limit.describe()
    retry_after = error.retry_after_seconds or _DEFAULT_RETRY_AFTER.get(error.category)
    return status, body, error.headers | ({} if retry_after is None else {"Retry-After": str(retry_after)})


def _answer_rest_error(error: rest.APIException) -> tuple[int, dict[str, Any], dict[str, str]]:
    headers = {}
    if isinstance(error, rest.ValidationError):
        faults = list(_faults(error.get_full_details(), ""))
        title = gettext("Some values are not valid.")
        detail = "; ".join(f"{fault['field']}: {fault['detail']}" for fault in faults[:3])
        return 422, _body(422, "invalid", title, detail, faults), {}
    if (challenge := getattr(error, "auth_header", None)) is not None:
        headers["WWW-Authenticate"] = challenge
    if isinstance(error, rest.Throttled):
        headers["Retry-After"] = str(max(1, int(error.wait or 1)))
    status = error.status_code
    return status, _body(status, _code(status), _phrase(status), str(error.detail)), headers


def _faults(details: Any, path: str) -> Iterator[dict[str, str]]:
    """Yield the leaves of REST framework's nested error details, each with the path of its field."""
    if isinstance(details, list):
        is_leaf_list = all(isinstance(item, dict) and set(item) == {"message", "code"} for item in details)
        for index, item in enumerate(details):
            yield from _faults(item, path if is_leaf_list else f"{path}.{index}".lstrip("."))
    elif isinstance(details, dict) and set(details) == {"message", "code"} and isinstance(details["code"], str):
        yield {"field": path or "body", "code": details["code"], "detail": str(details["message"])}
    elif isinstance(details, dict):
        for name, nested in details.items():
            inner = path if name == "non_field_errors" else f"{path}.{name}".lstrip(".")
            yield from _faults(nested, inner)


def _body(status: int, code: str, title: str, detail: str = "", errors: list[Any] | None = None) -> dict[str, Any]:
    return {
        "type": f"urn:problem:{code}",
        "title": title,
        "status": int(status),
        "code": code,
        "detail": detail or title,
        "errors": errors or [],
    }


def _code(status: int) -> str:
    return _CODE_BY_STATUS.get(status, "refused" if status < 500 else "internal_error")


def _phrase(status: int) -> str:
    """Return the phrase of the status in the active language."""
    return gettext(_PHRASES.get(status) or f"{HTTPStatus(status).phrase}.")
