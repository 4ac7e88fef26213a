"""The first wall: a manager that has no rows to give until it is known whose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models

from tenants.context import Scope, require_scope
from tenants.exceptions import ForeignTenantError, TenantNotChosenError

if TYPE_CHECKING:
    from uuid import UUID

ModelT = TypeVar("ModelT", bound=models.Model)


def claim_for_scope(instance: models.Model, scope: Scope, tenant_attribute: str = "tenant_id") -> None:
    """Fill the tenant of a new row from the context; refuse the row of another tenant.

    Behind the door nothing is filled: the tenant must be named, unless the column may be null.
    """
    tenant_id: UUID | None = getattr(instance, tenant_attribute)
    if scope.tenant_id is None:
        if tenant_id is None and not instance._meta.get_field(tenant_attribute).null:
            raise TenantNotChosenError
    elif tenant_id is None:
        setattr(instance, tenant_attribute, scope.tenant_id)
    elif tenant_id != scope.tenant_id:
        raise ForeignTenantError(f"{instance._meta.label} of tenant {tenant_id} in the context of {scope.tenant_id}.")


class TenantQuerySet(models.QuerySet[ModelT]):
    """A queryset whose bulk inserts are guarded like `save()`."""

    def bulk_create(self, objs: Iterable[ModelT], *args: Any, **kwargs: Any) -> list[ModelT]:
        rows = list(objs)
        scope = require_scope()
        for row in rows:
            claim_for_scope(row, scope)
        return super().bulk_create(rows, *args, **kwargs)


class ScopedManager(models.Manager[ModelT]):
    """Without a context it raises `NoTenantError`; with one it has that tenant's rows, behind the door everybody's."""

    tenant_attribute = "tenant_id"

    def get_queryset(self) -> models.QuerySet[ModelT]:
        scope = require_scope()
        queryset = super().get_queryset()
        if scope.tenant_id is None:
            return queryset
        return queryset.filter(**{self.tenant_attribute: scope.tenant_id})

    def none(self) -> models.QuerySet[ModelT]:
        """No rows at all, which needs no tenant: what describes a view (filters, OpenAPI) asks for this."""
        return super().get_queryset().none()


class TenantManager(ScopedManager[ModelT]):
    """The default manager of every model with a `tenant_id`."""

    _queryset_class = TenantQuerySet


class TenantSelfManager(ScopedManager[ModelT]):
    """The manager of the tenants themselves, whose own id says whose row it is."""

    tenant_attribute = "id"
