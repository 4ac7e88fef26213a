"""The bases of every page of the console: rows of one tenant, no facets, no deletion, acts by POST alone."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.core.paginator import Paginator
from django.db.models import ForeignKey, Model, QuerySet
from django.forms import ModelChoiceField, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.admin import ModelAdmin

from tenants.access import Access, access_of
from tenants.admin.post_actions import PostActionsMixin
from tenants.exceptions import DomainError
from tenants.permissions import Permission

COUNT_CAP = 10_000


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
    list_disable_select_all = True
    paginator = CappedPaginator
    actions: ClassVar[Any] = None
    # The rights that looking, adding and changing need; None leaves it to the base.
    view_permission: ClassVar[Permission | None] = None
    add_permission: ClassVar[Permission | None] = None
    change_permission: ClassVar[Permission | None] = None

    def access(self, request: HttpRequest) -> Access:
        """What this request may see and do."""
        return access_of(request)

    def _may(self, request: HttpRequest, needed: Permission | None, *, default: bool) -> bool:
        return default if needed is None else self.access(request).may(needed)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """A change that a service refuses is said on the page; nothing of it has been written."""
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return HttpResponseRedirect(request.get_full_path())
        return response

    # Django's own log of the console would repeat what the audit log says, across tenants and without reasons.
    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None: ...

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None: ...

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None: ...

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> list[Any]:
        return []


class TenantScopedAdmin(ConsoleAdmin):
    """Rows of a tenant: members see their own tenant's, platform staff everybody's with the tenant in front.

    Members write by their role in the tenant, never by Django's permissions. `save_model` must call a service.
    """

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = list(super().get_list_display(request))
        if self.access(request).is_platform_staff and self._has_tenant and "tenant" not in columns:
            columns.insert(1, "tenant")
        return columns

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset: QuerySet[Any] = super().get_queryset(request)
        if self.access(request).is_platform_staff and self._has_tenant:
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

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.view_permission, default=self.access(request).can_read)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.view_permission, default=self.access(request).can_read)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.add_permission, default=self.access(request).can_write)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.change_permission, default=self.access(request).can_write)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @property
    def _has_tenant(self) -> bool:
        return _has_tenant(self.model)


class ReadOnlyAdmin(TenantScopedAdmin):
    """Rows that are looked at here and changed by acts alone: jobs, executions, the audit log."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class PlatformStaffAdmin(ConsoleAdmin):
    """What is not one tenant's: platform staff alone, whatever permissions others hold."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.view_permission, default=self.access(request).is_platform_staff)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.view_permission, default=self.access(request).is_platform_staff)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.add_permission, default=self.access(request).is_platform_staff)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, self.change_permission, default=self.access(request).is_platform_staff)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _has_tenant(model: type[Model]) -> bool:
    return any(field.attname == "tenant_id" for field in model._meta.concrete_fields)
