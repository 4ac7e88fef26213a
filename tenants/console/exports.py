"""Exports of the console's lists: all rows of the filtered list, with its columns, as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime
from html import unescape
from itertools import chain
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase, QueryDict
from django.urls import URLPattern, path, resolve, reverse
from django.utils.html import strip_tags
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext, override
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.access.reauthorization import require_still_authorized
from tenants.context import Scope, require_scope, scope_context
from tenants.exceptions import DomainError, FieldInvalidError
from tenants.exports.service import FORMAT, export_response, read_format
from tenants.limits.declared import HEAVY, costs
from tenants.requests.features import require_feature
from tenants.url_prefixes import API_V1_PREFIX

PAGE_ROWS = 500
# What the URL of a list says about the page that is shown.
_PLACE = ("before", "after", "p", "peek")


class ExportMixin(ModelAdmin):
    """Mixin of a list that is exported with its filters, by a button below it."""

    view_permission: ClassVar[Permission | None]
    # None: the permission to view the list.
    export_permission: ClassVar[Permission | None] = None
    # Columns of the model in place of the columns of the list, where these are made for the eye.
    export_fields: ClassVar[tuple[str, ...]] = ()
    list_after_template = "tenants/admin/export_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.export_view))
        return [path("export/", view, name=f"{self.opts.app_label}_{self.opts.model_name}_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = extra_context or {}
        if self.may_export(request):
            address = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_export")
            context = {**context, "export_url": f"{address}?{_without_place(request.GET).urlencode()}"}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def may_export(self, request: HttpRequest) -> bool:
        """Return whether the caller may export the list."""
        needed = self.export_permission or self.view_permission
        return needed is not None and access_of(request).may(needed)

    @costs(HEAVY)
    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Download the rows of the filtered list, of all its pages, as a file."""
        if not self.may_export(request):
            raise PermissionDenied
        try:
            require_feature("exports")
        except DomainError as refusal:
            return HttpResponse(refusal.detail, status=503)
        try:
            file_format = read_format(request.POST.get(FORMAT, ""))
        except FieldInvalidError as refusal:
            return HttpResponseBadRequest(refusal.detail)
        query = _without_place(request.GET)
        pages = self._read_pages(request, query, require_scope(), get_language())
        try:
            # Before the response begins, so that a filter which the list refuses is refused here too.
            first = next(pages)
        except IncorrectLookupParameters:
            return HttpResponseBadRequest(gettext("The list has no such filter."))
        return export_response(
            pages=chain([first], pages),
            file_format=file_format,
            target=self.opts.label_lower,
            filters={name: str(value) for name, value in query.items()},
        )

    def export_row(self, row: Any, columns: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of a row by the titles of their columns; ``columns`` maps names to titles."""
        return {title: self._value(row, name) for name, title in columns.items()}

    def _value(self, row: Any, name: str) -> Any:
        field, _, value = lookup_field(name, row, self)
        if field is not None and isinstance(value, Model):
            return str(value)
        if field is not None or value is None or isinstance(value, bool | int | float | datetime):
            return value.isoformat() if isinstance(value, datetime) else value
        parts = value if isinstance(value, list | tuple) else [value]
        return " ".join(unescape(strip_tags(str(part))).strip() for part in parts)

    def _read_pages(
        self, request: HttpRequest, query: QueryDict, scope: Scope, language: str | None
    ) -> Iterator[Sequence[dict[str, Any]]]:
        """Yield the rows in pages, each read in a transaction of its own."""
        needed = self.export_permission or self.view_permission
        assert needed is not None
        # Its pages are longer than those of the shared instance.
        longer = copy(self)
        longer.list_per_page = PAGE_ROWS
        asked, last, has_more = copy(request), None, True
        while has_more:
            require_still_authorized(request, needed)
            with scope_context(scope), override(language):
                asked.GET = query  # type: ignore[assignment] # only read
                shown = longer.get_changelist_instance(asked)
                if hasattr(shown, "older_url"):
                    rows, has_more = list(shown.result_list), shown.older_url is not None
                    query = QueryDict((shown.older_url or "").lstrip("?"))
                elif shown.multi_page:
                    rows = _rows_after(shown.queryset, last)
                    has_more = len(rows) == PAGE_ROWS
                else:
                    rows, has_more = list(shown.result_list), False
                last = rows[-1].pk if rows else last
                columns = self._columns(asked)
                page = [self.export_row(row, columns) for row in rows]
            yield page

    def _columns(self, request: HttpRequest) -> dict[str, str]:
        key = self.opts.pk.name
        shown = [name for name in self.get_list_display(request) if name != "action_checkbox"]
        names = [*(["tenant"] if "tenant" in shown else []), *self.export_fields] if self.export_fields else shown
        titles = {name: capfirst(str(label_for_field(name, self.model, self))) for name in names if name != key}
        return {key: key, **titles}


def _rows_after(rows: Any, last: Any) -> list[Any]:
    """Return the next rows by key, for a list of more than one page whose order has no place to continue from."""
    beyond = rows if last is None else rows.filter(pk__lt=last)
    return list(beyond.order_by("-pk")[:PAGE_ROWS])


def _without_place(query: QueryDict) -> QueryDict:
    left = query.copy()
    for name in _PLACE:
        left.pop(name, None)
    return left


# Lists that the console shows on pages without a list of rows of a model.
API_LISTS = frozenset({"errors", "fairness"})


def api_export_url(resource: str, query: Mapping[str, str]) -> str:
    """Return the address to which a page posts to download a list of the API with these parameters."""
    return f"{reverse('admin:export_api_list', args=[resource])}?{urlencode(query)}"


@require_POST
@costs(HEAVY)
def export_api_list(request: HttpRequest, resource: str) -> HttpResponseBase:
    """Download a list of the API, which checks its own permission, for a page that shows it."""
    if resource not in API_LISTS:
        raise Http404
    asked = copy(request)
    query, match = request.GET.copy(), resolve(f"{API_V1_PREFIX}{resource}/")
    query[FORMAT] = request.POST.get(FORMAT, "")
    asked.method, asked.resolver_match = "GET", match
    asked.GET = query  # type: ignore[assignment] # only read
    response: HttpResponseBase = match.func(asked)
    return response
