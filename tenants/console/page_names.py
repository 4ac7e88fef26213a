"""Names of pages and rows, the same in the menu, the breadcrumb, the title and the browser's tab; and links by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib.admin import display
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import DateTimeField, Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.admin import ModelAdmin

from tenants.console.links import tenant_link
from tenants.console.moments import moment

# By the name of a column of lists, what turns a row's value into a link; apps add theirs.
LINKED_COLUMNS: dict[str, Callable[[Any], SafeString | str]] = {
    "tenant": lambda tenant: tenant_link(tenant.slug, tenant.name)
}


class PageNamesMixin(ModelAdmin):
    """Mixin that names a list and its rows, finds a row by its name in the URL, and makes links of columns."""

    # The name of the list, if the plural of its rows is none.
    list_title: ClassVar[str | Promise] = ""
    # Whether rows are named by the end of their ids, in which ids of the same time differ.
    is_named_by_id: ClassVar[bool] = False
    # The field whose value may take the place of the key in the URL of a row's page.
    named_by: ClassVar[str] = ""

    @property
    def page_title(self) -> str:
        """Return the name of the list."""
        return capfirst(str(self.list_title or self.opts.verbose_name_plural))

    def object_title(self, obj: Any) -> str:
        """Return the name of a row's page, such as `Tenant hooli` or `Batch …2c5a9d01b7e4`."""
        return f"{capfirst(str(self.opts.verbose_name))} {f'…{str(obj.pk)[-12:]}' if self.is_named_by_id else obj}"

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the change list with the list's name, and with links in the columns of `LINKED_COLUMNS`, and times."""
        shown = super().get_changelist_instance(request)
        own_links = shown.list_display_links or ()
        shown.title = self.page_title
        shown.list_display = [name if name in own_links else self._linked(name) for name in shown.list_display]
        return shown

    def _linked(self, name: Any) -> Any:
        """Return the column, or a function that renders it: as a link, or as a time in the console's one format."""
        if not isinstance(name, str) or hasattr(self, name):
            return name
        try:
            field: Any = self.opts.get_field(name)
        except FieldDoesNotExist:
            return name
        render = moment if isinstance(field, DateTimeField) else LINKED_COLUMNS.get(name)
        if render is None:
            return name

        @display(description=field.verbose_name, ordering=name)
        def linked(row: Model) -> SafeString | str | None:
            value = getattr(row, name)
            return render(value) if value else None

        # The class of its cells.
        linked.__name__ = name
        return linked

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Serve the row's page; redirect to it from a URL with the row's name."""
        row = self._row_named(request, object_id) if self.named_by and self.has_view_permission(request) else None
        if row is not None:
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            return HttpResponseRedirect(reverse(name, args=[row.pk]))
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        return response

    def _row_named(self, request: HttpRequest, text: str) -> Model | None:
        """Return the row with this name, or None if there is none or the text is a key."""
        try:
            self.opts.pk.to_python(text)
        except ValidationError:
            row: Model | None = self.get_queryset(request).filter(**{self.named_by: text}).first()
            return row
        return None

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Render a row's page under the row's name, without Django's verb and subtitle."""
        if context.get("original") is not None:
            context |= {"title": self.object_title(context["original"]), "subtitle": None}
        return super().render_change_form(request, context, *args, **kwargs)
