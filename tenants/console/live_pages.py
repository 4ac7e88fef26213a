"""Console lists and pages whose changing parts the browser polls."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_safe

from tenants.console.base import ConsoleAdmin
from tenants.console.polled_parts import etag_of, part_response

ROWS_TEMPLATE = "tenants/admin/live_rows.html"


class LiveListMixin(ConsoleAdmin):
    """Mixin of a list whose rows the browser polls every five seconds; the poll keeps filters, search and order."""

    change_list_template = "tenants/admin/live_list.html"

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of the page, with one more for the polled rows."""
        if self.view_permission is None:
            return super().get_urls()
        rows = self.guard(require_safe(self.rows_view), self.view_permission, cacheable=True)
        return [path("rows/", rows, name=_name_of(self, "rows")), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Render the list with the URL from which the browser polls its rows."""
        address = f"{reverse(f'admin:{_name_of(self, "rows")}')}?{request.GET.urlencode()}"
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), "rows_address": address})
        return response

    def rows_view(self, request: HttpRequest) -> HttpResponseBase:
        """Return the HTML of the rows only, or 304 if the browser already has it."""
        page = self.changelist_view(request)
        # An invalid filter redirects to the list without it.
        if not isinstance(page, TemplateResponse):
            return page
        return part_response(request, render_to_string(ROWS_TEMPLATE, page.context_data, request))


class LivePageMixin(ConsoleAdmin):
    """Mixin of a row's page on which the browser polls the first part, the row's current state, every five seconds."""

    @abstractmethod
    def render_now(self, request: HttpRequest, object_id: str) -> str | None:
        """Return the HTML of the row's current state, or None if the row does not exist any more."""

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of the page, with one more for the polled state."""
        if self.view_permission is None:
            return super().get_urls()
        now = self.guard(require_safe(self.now_view), self.view_permission, cacheable=True)
        return [path("<slug:object_id>/now/", now, name=_name_of(self, "now")), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Render the page, including the row's current state."""
        context = {**(extra_context or {})}
        part = self.render_now(request, object_id) if self.has_view_permission(request) else None
        if part is not None:
            address = reverse(f"admin:{_name_of(self, 'now')}", args=[object_id])
            context |= {"now_part": part, "now_etag": etag_of(part), "now_address": address}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def now_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Return the HTML of the row's current state only, or 304 if the browser already has it."""
        part = self.render_now(request, object_id)
        if part is None:
            raise Http404("There is no such object.")
        return part_response(request, part)


def _name_of(page: ConsoleAdmin, part: str) -> str:
    return f"{page.opts.app_label}_{page.opts.model_name}_{part}"
