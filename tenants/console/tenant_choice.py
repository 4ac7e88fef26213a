"""Form field of a column with a tenant's id: a choice of the tenants by their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import Field
from django.forms import TypedChoiceField
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from tenants.models import Tenant


def tenant_field(db_field: Field[Any, Any]) -> TypedChoiceField:
    """Return the form field of a tenant's id."""
    return TypedChoiceField(
        label=db_field.verbose_name.capitalize(),
        help_text=gettext_lazy("Empty for every tenant."),
        required=False,
        choices=_choices,
        coerce=UUID,
        empty_value=None,
        widget=UnfoldAdminSelectWidget(),
    )


def _choices() -> Iterator[tuple[object, str]]:
    yield "", "—"
    yield from Tenant.objects.order_by("name").values_list("pk", "name")
