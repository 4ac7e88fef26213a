"""Options of each list of the API: its order (`ordering`), and its export as a file (`format`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.db.models import Model
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.utils.translation import get_language, override
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.access.reauthorization import require_still_authorized
from tenants.api.pagination import MAX_LIMIT
from tenants.context import Scope, require_scope, scope_context
from tenants.exceptions import FieldInvalidError
from tenants.exports.service import FORMAT, ORDERING, Around, ExportBrokenError, export_response, read_format


class ListNegotiation(DefaultContentNegotiation):
    """Content negotiation that leaves `?format=` to the export of lists."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:  # noqa: A002 - REST framework's name
        return renderers


class ListOptions(GenericViewSet[Any]):
    """Mixin of views with a list: `?ordering=` sets the order of its rows, `?format=` returns all of them as a file.

    The file has the rows of each page, read in a transaction of its own by a request to this view, so that filter,
    permission and tenant scope are those of the list.
    """

    content_negotiation_class = ListNegotiation
    # Unique columns with an index; `-` in front reverses the order. A list without pages has none.
    orderings: ClassVar[tuple[str, ...]] = ("id",)
    # None: the permission of the list.
    export_permission: ClassVar[Permission | None] = None
    # The name of the rows in the list's response.
    export_rows: ClassVar[str] = "results"
    model: ClassVar[type[Model]]
    permissions: ClassVar[Mapping[str, Permission]]
    django_request: HttpRequest

    export_format: str | None = None
    asked_ordering: str | None = None

    @property
    def is_export(self) -> bool:
        """Return whether the response is a page of an export."""
        # The OpenAPI schema is generated without a request.
        asked = getattr(self, "django_request", None)
        return self.export_format is not None or getattr(asked, "is_export_page", False)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the permission and, for a list, take its options out of the query."""
        super().initial(request, *args, **kwargs)
        given = self.django_request.GET
        if self.action != "list" or not (FORMAT in given or ORDERING in given):
            return
        query = given.copy()
        if FORMAT in query:
            if not access_of(request).may(self._export_permission):
                self.permission_denied(request)
            self.export_format = read_format(query.pop(FORMAT)[-1])
            query["limit"] = str(MAX_LIMIT)
        if ORDERING in query:
            self.asked_ordering = self._read_ordering(query.pop(ORDERING)[-1])
        self.django_request.GET = query  # type: ignore[assignment] # only read from here on

    def finalize_response(
        self, request: Any, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Return the list as a file if the request asked for one."""
        final: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)
        if self.export_format is None or not isinstance(final, Response) or final.status_code != 200:
            return final
        return export_response(
            pages=self._read_pages(final.data, require_scope(), get_language()),
            file_format=self.export_format,
            target=self.model._meta.label_lower,
            filters={name: str(value) for name, value in self.django_request.GET.items() if name != "limit"},
            around=self._around(final.data),
        )

    def _around(self, page: Mapping[str, Any]) -> Around:
        """Return what a JSON file has beside the rows: it has the shape of a page, of all rows."""
        others = {name: None if name == "next" else value for name, value in page.items() if name != self.export_rows}
        return Around(self.export_rows, others)

    @property
    def _export_permission(self) -> Permission:
        return self.export_permission or self.permissions["list"]

    def _read_ordering(self, given: str) -> str:
        known = self.orderings if self.pagination_class is not None else ()
        if given.removeprefix("-") not in known:
            refusal = FieldInvalidError(
                "ordering: %(given)r is not one of: %(known)s.",
                {"given": given[:50], "known": ", ".join(f"{name}, -{name}" for name in known)},
            )
            refusal.errors = [{"field": "ordering", "code": refusal.code, "detail": refusal.detail}]
            raise refusal
        return given

    def _read_pages(
        self, page: Mapping[str, Any], scope: Scope, language: str | None
    ) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Yield the rows of this page and of those that its link `next` leads to."""
        match = self.django_request.resolver_match
        assert match is not None
        yield page[self.export_rows]
        while (link := page.get("next")) is not None:
            require_still_authorized(self.django_request, self._export_permission)
            following = copy(self.django_request)
            following.is_export_page = True  # type: ignore[attr-defined]
            query = QueryDict(urlsplit(link).query, mutable=True)
            query.pop(FORMAT, None)
            query["limit"] = str(MAX_LIMIT)
            following.GET = query  # type: ignore[assignment]
            with scope_context(scope), override(language):
                answer: Any = match.func(following, *match.args, **match.kwargs)
            if answer.status_code != 200:
                raise ExportBrokenError
            page = answer.data
            yield page[self.export_rows]
