"""Base classes of models: rows with a name, rows of a tenant, rows that can be paused.

The managers are the first barrier between tenants: without a tenant scope they raise an error instead of returning
rows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.context import claim_for_scope, require_scope
from tenants.database.ids import uuid7
from tenants.exceptions import FieldInvalidError
from tenants.translation import translate

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?", re.ASCII)
# Control, format (bidi overrides, zero-width characters), surrogates, line and paragraph separators.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters and marks that are rendered as nothing.
_INVISIBLE_CHARACTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def find_invisible_character(text: str) -> str | None:
    """Return the first invisible character of the text, or None.

    Invisible characters can make two texts look the same.
    """
    for character in text:
        if unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _INVISIBLE_CHARACTERS:
            return character
    return None


def clean_name(value: str, *, field: str = "name", max_length: int = 200) -> str:
    """Return `value` stripped and in Unicode normal form NFC.

    Raise `FieldInvalidError` if it is empty, too long or contains invisible characters.
    """
    name = unicodedata.normalize("NFC", value.strip())
    if not name:
        raise FieldInvalidError.at(field, translate("It must not be empty."))
    if len(name) > max_length:
        raise FieldInvalidError.at(
            field, translate("It must not be longer than %(limit)s characters.", {"limit": max_length})
        )
    if (invisible := find_invisible_character(name)) is not None:
        raise FieldInvalidError.at(
            field,
            translate("It must not contain the invisible character U+%(code)s.", {"code": f"{ord(invisible):04X}"}),
        )
    return name


def clean_slug(value: str, *, field: str = "slug") -> str:
    """Return `value` unchanged; raise `FieldInvalidError` if it is not a valid slug.

    A slug has 1 to 50 lower-case letters, digits and hyphens, and no hyphen at either end.
    """
    if not _SLUG.fullmatch(value):
        raise FieldInvalidError.at(
            field, translate("Use 1 to 50 lower-case letters, digits and hyphens, no hyphen at either end.")
        )
    return value


ModelT = TypeVar("ModelT", bound=models.Model)


class TenantQuerySet(models.QuerySet[ModelT]):
    """QuerySet whose bulk inserts check the tenant of each row, as `save()` does."""

    def bulk_create(self, objs: Iterable[ModelT], *args: Any, **kwargs: Any) -> list[ModelT]:
        """Insert rows after setting and checking the tenant of each, as `claim_for_scope` does."""
        rows = list(objs)
        scope = require_scope()
        for row in rows:
            claim_for_scope(row, scope)
        return super().bulk_create(rows, *args, **kwargs)


class ScopedManager(models.Manager[ModelT]):
    """Manager that returns the rows of the current scope: those of one tenant, or of all tenants.

    In the scope of a narrowed role, rows of models with `narrowed_by` are narrowed, too. Without a scope it raises
    `NoTenantError`.
    """

    tenant_attribute = "tenant_id"

    def get_queryset(self) -> models.QuerySet[ModelT]:
        scope = require_scope()
        queryset = super().get_queryset()
        if scope.narrowing is not None:
            queryset = scope.narrowing.apply(queryset)
        if scope.tenant_id is None:
            return queryset
        return queryset.filter(**{self.tenant_attribute: scope.tenant_id})

    def none(self) -> models.QuerySet[ModelT]:
        """Return an empty queryset.

        It needs no scope, because filters and the OpenAPI schema ask for it outside of requests.
        """
        return super().get_queryset().none()


class TenantManager(ScopedManager[ModelT]):
    """Default manager of every model with a `tenant_id`."""

    _queryset_class = TenantQuerySet


class TenantSelfManager(ScopedManager[ModelT]):
    """Manager of the model `Tenant`, whose rows are filtered by their own id."""

    tenant_attribute = "id"


class TenantModel(models.Model):
    """Base of models whose rows belong to one tenant.

    The migration that creates the table must enable row-level security with `rls.EnableRowSecurity`, which a test
    checks. If other rows refer to it with `rls.AddCompositeForeignKey`, it needs a unique constraint on (tenant, id).
    """

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    # Indexes of tenants' tables begin with the tenant; one on the tenant alone would only cost.
    tenant = models.ForeignKey(
        "tenants.Tenant", verbose_name=_("tenant"), on_delete=models.PROTECT, db_index=False, related_name="+"
    )

    objects = TenantManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row; raise an error if its tenant is outside the current scope."""
        # Saving a row does not use the default manager, so the guard is repeated here.
        claim_for_scope(self, require_scope())
        super().save(*args, **kwargs)


class OptionalTenantModel(models.Model):
    """Base of models whose rows belong to one tenant or, without a tenant, to the platform.

    Rows of the platform are visible and writable only in the scope of all tenants.
    """

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        models.PROTECT,
        verbose_name=_("tenant"),
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        help_text=_("Empty: the platform."),
    )

    objects = TenantManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row; raise an error if its tenant is outside the current scope."""
        claim_for_scope(self, require_scope())
        super().save(*args, **kwargs)


class NamedModel(models.Model):
    """Base of models with a `name`, which shows their rows and must not contain invisible characters."""

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(getattr(self, "name", ""))

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Validate the fields; the name is invalid if it contains an invisible character."""
        faults: dict[str, Any] = {}
        try:
            super().clean_fields(exclude)
        except ValidationError as error:
            faults = error.update_error_dict(faults)
        invisible = find_invisible_character(str(getattr(self, "name", "")))
        if "name" not in (exclude or ()) and invisible is not None:
            faults["name"] = [
                ValidationError(
                    gettext("It must not contain the invisible character U+%(code)s.")
                    % {"code": f"{ord(invisible):04X}"}
                )
            ]
        if faults:
            raise ValidationError(faults)


class PauseFacts(models.Model):
    """Base of models that can be paused: who paused the row, when, and until when.

    `paused_until` is empty if the pause has to be ended manually.
    """

    paused_by = models.CharField(_("paused by"), max_length=200, blank=True, default="", editable=False)
    paused_at = models.DateTimeField(_("paused at"), null=True, blank=True, editable=False)
    paused_until = models.DateTimeField(
        _("paused until"),
        null=True,
        blank=True,
        help_text=_("Resumed automatically at this time; empty: manually."),
    )

    class Meta:
        abstract = True
