"""Every view, page and action declares its right; one without a declaration is refused, and found here."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from unfold.admin import ModelAdmin

from tenants.access.caller import Access
from tenants.access.permissions import Permission, PlatformRole
from tenants.api.viewsets import PlatformPermission, StaffViewSet, TenantPermission, TenantViewSet
from tenants.console.base import ConsoleAdmin
from tenants.models import ApiKey, Role, Tenant

HOOKS = ("has_module_permission", "has_view_permission", "has_add_permission", "has_change_permission")
# Views without data of tenants, and the one whose requests are signed.
PUBLIC_VIEWS = {"ReceiveViewSet", "RootView", "SchemaView", "SpectacularSwaggerSplitView"}


def api_patterns(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from api_patterns(pattern.url_patterns, path)
        elif path.startswith("api/v1/"):
            yield path, pattern


def undeclared_actions(view: type, actions: dict[str, str]) -> list[str]:
    declared = getattr(view, "permissions", {})
    return [
        f"{view.__name__}.{action}"
        for method, action in actions.items()
        if not isinstance(declared.get(action, declared.get(method.upper())), Permission)
    ]


def test_every_action_of_every_api_view_declares_its_right() -> None:
    found, seen = [], 0
    for path, pattern in api_patterns():
        view: Any = getattr(pattern.callback, "cls", getattr(pattern.callback, "view_class", pattern.callback))
        if view.__name__ in PUBLIC_VIEWS:
            continue
        assert issubclass(view, TenantViewSet), path
        assert set(view.permission_classes) <= {TenantPermission, PlatformPermission}, path
        found += undeclared_actions(view, pattern.callback.actions)
        seen += 1
    assert seen > 15
    assert found == [], "Add these actions to the `permissions` of their view."


def test_view_names_only_its_own_actions() -> None:
    for _, pattern in api_patterns():
        view: Any = getattr(pattern.callback, "cls", None)
        for name in getattr(view, "permissions", {}):
            assert hasattr(view, name) or name.isupper(), (view, name)


def page_faults(model_admin: ModelAdmin) -> list[str]:
    """Return the declarations that a page lacks, and the decisions that it overrides."""
    kind = type(model_admin)
    if not isinstance(model_admin, ConsoleAdmin):
        return ["it is no ConsoleAdmin"]
    faults = [f"{hook} is overridden" for hook in HOOKS if getattr(kind, hook) is not getattr(ConsoleAdmin, hook)]
    if not isinstance(model_admin.view_permission, Permission):
        faults.append("view_permission is not declared")
    unnamed = [name for name in model_admin.actions or () if name not in model_admin.action_permissions]
    rightless = [
        name
        for name in model_admin.post_actions
        if not isinstance(getattr(kind, name).post_action.permission, Permission)
    ]
    return (
        faults
        + [f"action_permissions lacks {name}" for name in unnamed]
        + [f"{name} has no right" for name in rightless]
    )


def test_every_console_page_declares_its_rights_and_overrides_no_check() -> None:
    faults = {model._meta.label: page_faults(page) for model, page in admin.site._registry.items()}
    assert len(faults) > 20
    assert {label: fault for label, fault in faults.items() if fault} == {}


class ViewSetWithoutDeclaration(TenantViewSet):
    model = ApiKey

    def list(self, request: Request) -> Response:
        return Response({})


class StaffViewSetWithoutDeclaration(StaffViewSet):
    model = ApiKey

    def list(self, request: Request) -> Response:
        return Response({})


@pytest.mark.django_db
@pytest.mark.parametrize("view", [ViewSetWithoutDeclaration, StaffViewSetWithoutDeclaration])
def test_view_without_declaration_is_refused_and_found(view: type[TenantViewSet]) -> None:
    request = APIRequestFactory().get("/")
    request.access = Access(platform_role=PlatformRole.ADMIN)  # type: ignore[attr-defined]
    request.user = SimpleNamespace(is_authenticated=True, is_active=True)  # type: ignore[assignment]
    request._force_auth_user = request.user  # type: ignore[attr-defined]
    assert view.as_view({"get": "list"})(request).status_code == 403
    assert undeclared_actions(view, {"get": "list"}) == [f"{view.__name__}.list"]


class AdminWithoutDeclaration(ConsoleAdmin):
    actions = ("destroy_selected",)


class AdminWithOverride(ConsoleAdmin):
    view_permission = Permission.JOBS_VIEW

    def has_change_permission(self, request: Any, obj: Model | None = None) -> bool:
        return True


def test_page_without_declaration_is_refused_and_found(rf: Any) -> None:
    page = AdminWithoutDeclaration(Tenant, admin.site)
    request = rf.get("/")
    request.access = Access(platform_role=PlatformRole.ADMIN)
    assert [getattr(page, hook)(request) for hook in HOOKS] == [False] * 4
    assert page_faults(page) == ["view_permission is not declared", "action_permissions lacks destroy_selected"]
    assert page_faults(AdminWithOverride(Tenant, admin.site)) == ["has_change_permission is overridden"]
    assert page_faults(ModelAdmin(Tenant, admin.site)) == ["it is no ConsoleAdmin"]


def test_page_checks_the_right_that_it_declares(rf: Any) -> None:
    page = type("Page", (ConsoleAdmin,), {"view_permission": Permission.AUDIT_VIEW})(Tenant, admin.site)
    request = rf.get("/")
    for role, may in ((Role.VIEWER, False), (Role.DEVELOPER, True)):
        request.access = Access(tenant=Tenant(slug="acme"), role=role)
        assert page.has_view_permission(request) is may
        assert not page.has_add_permission(request)
