"""Conditional requests by `ETag` and `If-Match`: an edit applies only to the row version that the caller has read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import Model
from django.utils.translation import gettext_noop
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from tenants.exceptions import DomainError
from tenants.tenancy.editions import StaleError, edition_of, hold_for_edit, refuse_stale

MAX_TAGS = 20
# A compressing proxy weakens tags; a weak tag counts as the same version.
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]{1,100})"')
_TAGS = re.compile(rf"{_TAG.pattern}(?:[ \t]*,[ \t]*{_TAG.pattern})*")
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description=(
        "The `ETag` of the version that was read: 412 with the current `ETag` if it has changed, 400 if it is "
        "malformed. Without it, or with `*`, the change applies to any version."
    ),
)
# Methods that edit a row. Actions (POST) state what they do, whatever the row's version.
EDITING_METHODS = frozenset({"PATCH", "PUT", "DELETE"})


class IfMatchInvalidError(DomainError):
    code, category = "if_match_invalid", "malformed"
    title = gettext_noop('If-Match must be an ETag, such as "3", a list of ETags, or *.')


def read_if_match(request: Request) -> frozenset[str] | None:
    """Return the row versions that the `If-Match` header names; None if the header is absent or `*`.

    Raise `IfMatchInvalidError` if the header is malformed or names more than MAX_TAGS versions.
    """
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    if _TAGS.fullmatch(header.strip()) is None:
        raise IfMatchInvalidError
    tags = frozenset(_TAG.findall(header))
    if len(tags) > MAX_TAGS:
        raise IfMatchInvalidError
    return tags


def etag_headers(row: Model) -> dict[str, str]:
    """Return an `ETag` response header with the row's current version."""
    return {"ETag": f'"{edition_of(row)}"'}


class EditedRows:
    """Mixin for views that edit rows: the edit starts from the current row, which is locked against other edits."""

    request: Request
    stale_error: ClassVar[type[DomainError]] = StaleError

    @property
    def is_conditional(self) -> bool:
        """Return whether the request's `If-Match` header names versions."""
        return read_if_match(self.request) is not None

    def begin_edit(self, find: Callable[[], Any]) -> Any:
        """Return the row that ``find()`` returns, locked against other edits until the request's transaction ends.

        Raise ``stale_error`` (412) if the `If-Match` header does not name the row's current version.
        """
        editions = read_if_match(self.request)
        row = find()
        hold_for_edit(type(row), row.pk)
        row = find()
        refuse_stale(row, editions, error=self.stale_error)
        return row
