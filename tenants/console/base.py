"""Base classes of all console pages: rows of one tenant, no facets, no deletion, actions by POST only.

A page declares the permissions that it requires; an action that declares none is refused. A test covers every page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property, wraps
from typing import Any, ClassVar, NoReturn

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
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext
from unfold.admin import ModelAdmin, checkbox

from tenants.access.caller import Access, access_of
from tenants.access.permissions import Permission
from tenants.console.edit_conflicts import FIELD as SEEN
from tenants.console.edit_conflicts import with_conflict_check
from tenants.console.exports import ExportMixin
from tenants.console.json_fields import StrictJSONField
from tenants.console.page_names import PageNamesMixin
from tenants.console.post_actions import PostActionsMixin
from tenants.console.refused_input import with_refusal
from tenants.exceptions import DomainError
from tenants.identity.step_up import ask_for_factor
from tenants.requests.bodies import MAX_UPLOAD_BYTES
from tenants.tenancy.editions import hold_for_edit

COUNT_CAP = 10_000
UNSEARCHED_FIELDS = (JSONField, BinaryField, ArrayField)  # no lookup in a URL may use them
View = Callable[..., HttpResponseBase]


class CappedPaginator(Paginator):  # type: ignore[type-arg] # not generic at run time
    """Paginator that counts at most `COUNT_CAP` rows, so that no list scans a whole table."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNT_CAP].count()) if isinstance(rows, QuerySet) else len(rows)


class ConsoleAdmin(ExportMixin, PageNamesMixin, PostActionsMixin):
    """Base of all admin pages: the database decides which rows are visible, this class which actions are permitted."""

    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    list_per_page = 25
    # unfold's template reads it for each row, and a missing attribute is slow to look up.
    list_sections: ClassVar[Any] = ()
    list_disable_select_all = True
    paginator = CappedPaginator
    actions: ClassVar[Any] = None
    # Columns that no page shows and that no filter in the URL may probe; JSON columns are always excluded.
    hidden_fields: ClassVar[frozenset[str]] = frozenset()
    formfield_overrides: ClassVar[Any] = {JSONField: {"form_class": StrictJSONField}}
    # The permissions to view, add and change; None: not possible here.
    view_permission: ClassVar[Permission | None] = None
    add_permission: ClassVar[Permission | None] = None
    change_permission: ClassVar[Permission | None] = None
    # The permission of each action on selected rows, by its name; undeclared actions are not offered.
    action_permissions: ClassVar[Mapping[str, Permission]] = {}

    def access(self, request: HttpRequest) -> Access:
        """Return the tenant, role and permissions of the request."""
        return access_of(request)

    def _may(self, request: HttpRequest, needed: Permission | None) -> bool:
        return needed is not None and self.access(request).may(needed)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.view_permission)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return whether the caller has the page's `view_permission`."""
        return self._may(request, self.view_permission)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return whether the caller has the page's `add_permission`."""
        return self._may(request, self.add_permission)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return whether the caller has the page's `change_permission`."""
        return self._may(request, self.change_permission)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: a row is never deleted here; an action ends it."""
        return False

    @display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, obj: Model) -> SafeString:
        """Return the row's checkbox, without rendering unfold's template for each row: only the key differs."""
        before, after = _checkbox_around_key(get_language())
        return format_html("{}{}{}", before, obj.pk, after)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the change list; raise `IncorrectLookupParameters` if PostgreSQL refuses a value in the URL."""
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
        """Return whether the URL may filter by this lookup: not by hidden, JSON, binary or array columns."""
        # Django accepts any own column from the URL; filters on a masked payload would reveal it letter by letter.
        try:
            field = self.opts.get_field(lookup.split("__", maxsplit=1)[0])
        except FieldDoesNotExist:
            field = None
        if isinstance(field, UNSEARCHED_FIELDS) or (field is not None and field.name in self.hidden_fields):
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Run an action on the selected rows; raise `BadRequest` if a selected key is malformed."""
        try:
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(key)
        except ValidationError as error:
            raise BadRequest(gettext("A selected row has no such key.")) from error
        response: HttpResponse | None = super().response_action(request, queryset)
        return response

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the actions on selected rows that the caller may run."""
        offered = super().get_actions(request)
        return {name: act for name, act in offered.items() if self._may(request, self.action_permissions.get(name))}

    def guard(self, view: View, permission: Permission, *, cacheable: bool = False, takes_files: bool = False) -> View:
        """Return a view for `get_urls` that requires log-in and the permission; it accepts files if `takes_files`."""
        guarded = guard_view(self.admin_site, view, permission, cacheable=cacheable)
        guarded.max_body_bytes = MAX_UPLOAD_BYTES if takes_files else None  # type: ignore[attr-defined]
        return guarded

    def related_values(self, obj: Any) -> Mapping[str, Any]:
        """Return values of other rows, by label, that this row's page shows and that are part of its conflict check."""
        return {}

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> type[ModelForm[Any]]:
        """Return the form class; the form of an existing row also detects concurrent changes."""
        if obj is not None and self.has_change_permission(request, obj):
            own = kwargs.get("form", self.form)
            readonly = self.get_readonly_fields(request, obj)
            kwargs["form"] = with_conflict_check(own, self.related_values(obj), without=readonly)
        form: type[ModelForm[Any]] = super().get_form(request, obj, **kwargs)
        refusal = getattr(request, "refusal", None)
        return form if refusal is None else with_refusal(form, refusal)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fieldsets; those of an existing row include the hidden field that detects concurrent changes."""
        fieldsets = list(super().get_fieldsets(request, obj))
        if obj is None or not self.has_change_permission(request, obj) or SEEN in flatten_fieldsets(fieldsets):
            return fieldsets
        name, options = fieldsets[-1]
        return [*fieldsets[:-1], (name, {**options, "fields": (*options["fields"], SEEN)})]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show or save the form of a row. If a service refuses the change, show it again with its input and reasons."""
        # Before any look-up of rows: a caller without a tenant has no scope to query in.
        if object_id is not None and not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if object_id is not None and request.method == "POST" and self.has_change_permission(request):
            hold_for_edit(self.model, unquote(object_id))
        try:
            response: HttpResponse = super().changeform_view(request, object_id, *args, **kwargs)
        except DomainError as refusal:
            request.refusal = refusal  # type: ignore[attr-defined] # read by get_form
            response = super().changeform_view(request, object_id, *args, **kwargs)
        return response

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Raise `PermissionDenied`: a row is never deleted here; an action ends it."""
        raise PermissionDenied

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Raise `PermissionDenied`: the audit log takes the place of Django's history page."""
        raise PermissionDenied

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, *args: Any) -> NoReturn:
        raise Http404(gettext("There is no such object."))

    # Django's own log would repeat the audit log, across tenants and without reasons.
    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None: ...

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None: ...

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None: ...

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> list[Any]:
        return []


class TenantScopedAdmin(ConsoleAdmin):
    """Base of pages of tenants' rows: members see their tenant's rows, platform staff those of all tenants.

    Permissions come from roles, never from Django's permissions. `save_model` must call a service function.
    """

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Return the columns, with a tenant column if rows of several tenants are listed."""
        columns = list(super().get_list_display(request))
        if self.access(request).sees_all_tenants and _has_tenant(self.model) and "tenant" not in columns:
            columns.insert(1, "tenant")
        return columns

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the visible rows, joined with their tenants if rows of several tenants are listed."""
        queryset: QuerySet[Any] = super().get_queryset(request)
        if self.access(request).sees_all_tenants and _has_tenant(self.model):
            return queryset.select_related("tenant")
        return queryset

    def get_form(self, request: HttpRequest, obj: Model | None = None, **kwargs: Any) -> type[ModelForm[Any]]:
        """Return the form class, whose foreign keys offer only rows of the edited row's tenant."""
        # In the cross-tenant scope a choice would offer all tenants' rows; only those of the row's tenant fit.
        request.form_tenant_id = getattr(obj, "tenant_id", None)  # type: ignore[attr-defined]
        form: type[ModelForm[Any]] = super().get_form(request, obj, **kwargs)
        return form

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        """Return the form field of a foreign key, which offers only rows of the edited row's tenant."""
        related: Any = db_field.remote_field.model
        tenant_id = getattr(request, "form_tenant_id", None)
        if tenant_id is not None and _has_tenant(related):
            kwargs.setdefault("queryset", related._default_manager.filter(tenant_id=tenant_id))
        field: ModelChoiceField[Any] | None = super().formfield_for_foreignkey(db_field, request, **kwargs)
        return field


class ReadOnlyAdmin(TenantScopedAdmin):
    """Base of read-only pages, such as jobs, executions and the audit log: no form adds or changes their rows."""

    add_permission: ClassVar[None] = None
    change_permission: ClassVar[None] = None


class OfItsPage:
    """Mixin of admin inlines: it permits everything, because the page around the inline has checked the permission."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


class PlatformStaffAdmin(ConsoleAdmin):
    """Base of pages of the platform's own rows; only platform roles have the permissions that they require."""


def guard_view(site: AdminSite, view: View, permission: Permission, *, cacheable: bool = False) -> View:
    """Return a console view that requires log-in and the permission, and its fresh second factor for a POST."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not access_of(request).may(permission):
            raise PermissionDenied
        asked = ask_for_factor(request, permission) if request.method == "POST" else None
        return asked or view(request, *args, **kwargs)

    return site.admin_view(guarded, cacheable=cacheable)


@cache
def _checkbox_around_key(language: str | None) -> tuple[SafeString, SafeString]:
    """Return the HTML of the row checkbox before and after the key, in the given (active) language."""
    before, _, after = checkbox.render(ACTION_CHECKBOX_NAME, "KEY-OF-THE-ROW").partition("KEY-OF-THE-ROW")
    return mark_safe(before), mark_safe(after)  # noqa: S308 - parts of what the widget has escaped


def _has_tenant(model: type[Model]) -> bool:
    return any(field.attname == "tenant_id" for field in model._meta.concrete_fields)
