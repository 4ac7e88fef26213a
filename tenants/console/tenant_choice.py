"""Form field of a column with a tenant's id: a choice of the tenants by their names."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from django.forms import TypedChoiceField
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from tenants.models import Tenant


def tenant_field() -> TypedChoiceField:
    """Return the form field of a tenant's id; an empty choice is every tenant."""
    return TypedChoiceField(
        label=capfirst(gettext_lazy("only tenant")),
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
