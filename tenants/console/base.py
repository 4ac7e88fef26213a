"""The bases of every page of the console: rows of one tenant, no facets, no deletion, acts by POST alone.

Each page declares the rights that it needs; what is not declared is nobody's. A test asks every page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property, wraps
from typing import Any, ClassVar, NoReturn

from django.contrib import messages
from django.contrib.admin import AdminSite, ShowFacets, display
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import BadRequest, FieldDoesNotExist, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import DataError, ProgrammingError, transaction
from django.db.models import BinaryField, ForeignKey, JSONField, Model, QuerySet
from django.forms import ModelChoiceField, ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext
from unfold.admin import ModelAdmin, checkbox

from tenants.access.caller import Access, access_of
from tenants.access.permissions import Permission
from tenants.console.json_fields import StrictJSONField
from tenants.console.post_actions import PostActionsMixin
from tenants.console.seen import FIELD as SEEN
from tenants.console.seen import with_seen
from tenants.exceptions import DomainError
from tenants.requests.bodies import MAX_UPLOAD_BYTES
from tenants.tenancy.editions import hold_for_edit

COUNT_CAP = 10_000
# Columns that no lookup of a URL fits.
UNSEARCHED_FIELDS = (JSONField, BinaryField, ArrayField)
View = Callable[..., HttpResponseBase]


class CappedPaginator(Paginator):  # type: ignore[type-arg] # not generic at run time
    """Counts no further than `COUNT_CAP`: no list walks a whole table to say how long it is."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNT_CAP].count()) if isinstance(rows, QuerySet) else len(rows)


class ConsoleAdmin(PostActionsMixin, ModelAdmin):
    """What all pages share. The database has decided which rows exist; here it is decided who may act on them."""

    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    list_per_page = 25
    # unfold's template asks for it at each row, and what is not there is dear to ask for.
    list_sections: ClassVar[Any] = ()
    list_disable_select_all = True
    paginator = CappedPaginator
    actions: ClassVar[Any] = None
    # Columns that no page shows and that a filter in the URL must not tell either; JSON never is one.
    hidden_fields: ClassVar[frozenset[str]] = frozenset()
    formfield_overrides: ClassVar[Any] = {JSONField: {"form_class": StrictJSONField}}
    # The rights that looking, adding and changing need; None: nobody does it here.
    view_permission: ClassVar[Permission | None] = None
    add_permission: ClassVar[Permission | None] = None
    change_permission: ClassVar[Permission | None] = None
    # The right that each act on ticked rows needs, by its name; an act that is missing here is not offered.
    action_permissions: ClassVar[Mapping[str, Permission]] = {}

    def access(self, request: HttpRequest) -> Access:
        """What this request may see and do."""
        return access_of(request)

    def _may(self, request: HttpRequest, needed: Permission | None) -> bool:
        return needed is not None and self.access(request).may(needed)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.view_permission)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.view_permission)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.add_permission)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.change_permission)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, obj: Model) -> SafeString:
        """unfold's, without rendering its template for each row: but for the key they are all the same."""
        before, after = _checkbox_around_key(get_language())
        return format_html("{}{}{}", before, obj.pk, after)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list; raise IncorrectLookupParameters if PostgreSQL cannot compare what the URL asks for."""
        if not request.GET:
            return super().get_changelist_instance(request)
        try:
            with transaction.atomic():
                shown = super().get_changelist_instance(request)
                len(shown.result_list)
        except (DataError, ProgrammingError, TypeError, ValueError, OverflowError) as error:
            raise IncorrectLookupParameters from error
        return shown

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # Django takes any own column from the URL; a list asked by a masked payload tells it letter by letter.
        try:
            field = self.opts.get_field(lookup.split("__", maxsplit=1)[0])
        except FieldDoesNotExist:
            field = None
        if isinstance(field, UNSEARCHED_FIELDS) or (field is not None and field.name in self.hidden_fields):
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        try:
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(key)
        except ValidationError as error:
            raise BadRequest(gettext("A ticked row has no such key.")) from error
        response: HttpResponse | None = super().response_action(request, queryset)
        return response

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        offered = super().get_actions(request)
        return {name: act for name, act in offered.items() if self._may(request, self.action_permissions.get(name))}

    def guard(self, view: View, permission: Permission, *, cacheable: bool = False, takes_files: bool = False) -> View:
        """A view of the page's own, for `get_urls`: logged in, with the right, and with a body that may hold files."""
        guarded = guard_view(self.admin_site, view, permission, cacheable=cacheable)
        guarded.max_body_bytes = MAX_UPLOAD_BYTES if takes_files else None  # type: ignore[attr-defined]
        return guarded

    def seen_beside(self, obj: Any) -> Mapping[str, Any]:
        """What the page of a row shows of other rows that are edited with it, by label."""
        return {}

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> type[ModelForm[Any]]:
        if obj is not None and self.has_change_permission(request, obj):
            own = kwargs.get("form", self.form)
            kwargs["form"] = with_seen(own, self.seen_beside(obj), without=self.get_readonly_fields(request, obj))
        form: type[ModelForm[Any]] = super().get_form(request, obj, **kwargs)
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = list(super().get_fieldsets(request, obj))
        if obj is None or not self.has_change_permission(request, obj) or SEEN in flatten_fieldsets(fieldsets):
            return fieldsets
        name, options = fieldsets[-1]
        return [*fieldsets[:-1], (name, {**options, "fields": (*options["fields"], SEEN)})]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """A change that a service refuses is said on the page; nothing of it has been written."""
        # Before any row is looked for: whoever has no tenant has no rows to be asked for either.
        if object_id is not None and not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if object_id is not None and request.method == "POST" and self.has_change_permission(request):
            hold_for_edit(self.model, unquote(object_id))
        try:
            response: HttpResponse = super().changeform_view(request, object_id, *args, **kwargs)
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return HttpResponseRedirect(request.get_full_path())
        return response

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Rows are ended by acts; nobody deletes one here."""
        raise PermissionDenied

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The audit log is the history."""
        raise PermissionDenied

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, *args: Any) -> NoReturn:
        raise Http404(gettext("There is no such row."))

    # Django's own log of the console would repeat what the audit log says, across tenants and without reasons.
    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None: ...

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None: ...

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None: ...

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> list[Any]:
        return []


class TenantScopedAdmin(ConsoleAdmin):
    """Rows of a tenant: members see their own tenant's, people of the platform everybody's with the tenant in front.

    Everybody acts by a role, never by Django's permissions. `save_model` must call a service.
    """

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = list(super().get_list_display(request))
        if self.access(request).sees_all_tenants and self._has_tenant and "tenant" not in columns:
            columns.insert(1, "tenant")
        return columns

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset: QuerySet[Any] = super().get_queryset(request)
        if self.access(request).sees_all_tenants and self._has_tenant:
            return queryset.select_related("tenant")
        return queryset

    def get_form(self, request: HttpRequest, obj: Model | None = None, **kwargs: Any) -> type[ModelForm[Any]]:
        # Behind the door a drop-down would offer all tenants' rows: those of the row's own tenant are wanted.
        request.form_tenant_id = getattr(obj, "tenant_id", None)  # type: ignore[attr-defined]
        form: type[ModelForm[Any]] = super().get_form(request, obj, **kwargs)
        return form

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        related: Any = db_field.remote_field.model
        tenant_id = getattr(request, "form_tenant_id", None)
        if tenant_id is not None and _has_tenant(related):
            kwargs.setdefault("queryset", related._default_manager.filter(tenant_id=tenant_id))
        field: ModelChoiceField[Any] | None = super().formfield_for_foreignkey(db_field, request, **kwargs)
        return field

    @property
    def _has_tenant(self) -> bool:
        return _has_tenant(self.model)


class ReadOnlyAdmin(TenantScopedAdmin):
    """Rows that are looked at here and changed by acts alone: jobs, executions, the audit log."""

    add_permission: ClassVar[None] = None
    change_permission: ClassVar[None] = None


class OfItsPage:
    """Rows inside another row's page: whoever may change that may change them, and the page has asked already."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


class PlatformStaffAdmin(ConsoleAdmin):
    """What is not one tenant's: its rights are the platform's, which no member of a tenant has."""


def guard_view(site: AdminSite, view: View, permission: Permission, *, cacheable: bool = False) -> View:
    """A view of the console that is refused to whoever has not the right."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not access_of(request).may(permission):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return site.admin_view(guarded, cacheable=cacheable)


@cache
def _checkbox_around_key(language: str | None) -> tuple[SafeString, SafeString]:
    """The box that ticks a row as a language, the one of the moment, words it: what stands before its key and after."""
    before, _, after = checkbox.render(ACTION_CHECKBOX_NAME, "KEY-OF-THE-ROW").partition("KEY-OF-THE-ROW")
    return mark_safe(before), mark_safe(after)  # noqa: S308 - parts of what the widget has escaped


def _has_tenant(model: type[Model]) -> bool:
    return any(field.attname == "tenant_id" for field in model._meta.concrete_fields)
