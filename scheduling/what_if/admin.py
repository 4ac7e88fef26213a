"""What-if panel on the pages of plans: shows the predicted effect of the form's values as they are typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from scheduling.what_if.page import WhatIfQuestion, draw_what_if
from tenants.access.permissions import Permission
from tenants.console.base import PlatformStaffAdmin
from tenants.limits.declared import HEAVY, costs
from tenants.versions.admin import is_preview


class WhatIfMixin(PlatformStaffAdmin):
    """Admin with a what-if panel. ``ask`` must turn a plan and the posted form values into a WhatIfQuestion."""

    ask: Callable[[Any, Mapping[str, Any]], WhatIfQuestion]

    def get_urls(self) -> list[URLPattern]:
        view = self.guard(require_POST(self.what_if_view), Permission.PLATFORM_VIEW)
        return [path("<path:object_id>/what-if/", view, name=self._what_if_name), *super().get_urls()]

    @property
    def _what_if_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_what_if"

    @costs(HEAVY)
    def what_if_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the HTML of the panel for the posted form values; save nothing."""
        plan = self.get_object(request, object_id)
        if plan is None:
            raise Http404
        return HttpResponse(self._draw(request, plan))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        plan = context.get("original")
        if plan is not None and self.has_change_permission(request):
            context["what_if_url"] = reverse(f"admin:{self._what_if_name}", args=[plan.pk])
            # The form's instance has the typed values; the panel starts with the saved plan.
            saved = self.get_object(request, str(plan.pk))
            if saved is not None and is_preview(request):
                context["what_if"] = self._draw(request, saved)
        return super().render_change_form(request, context, *args, **kwargs)

    def _draw(self, request: HttpRequest, plan: Model) -> SafeString:
        return draw_what_if(type(self).ask(plan, request.POST), request)
