"""Form fields of rules, routes and silences: choices of measures, weekdays and tenants by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from django.db.models import Field
from django.forms import ChoiceField, MultipleChoiceField, TypedMultipleChoiceField
from django.http import HttpRequest
from django.utils.dates import WEEKDAYS
from django.utils.text import capfirst
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from scheduling.alerts.measures import measures
from tenants.console.base import ConsoleAdmin
from tenants.console.tenant_choice import tenant_field


def _titles(*, is_of_tenant: bool) -> list[tuple[str, str]]:
    named = [each for each in measures().values() if each.tenants_per or not is_of_tenant]
    return [(each.name, capfirst(f"{each.title} ({each.unit})" if each.unit else str(each.title))) for each in named]


def _measure_field(*, is_of_tenant: bool, **options: Any) -> ChoiceField:
    empty = [] if options["required"] else [("", "—")]
    choices = [*empty, *_titles(is_of_tenant=is_of_tenant)]
    return ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget(), **options)


def _measures_field(*, is_of_tenant: bool, **options: Any) -> MultipleChoiceField:
    choices = _titles(is_of_tenant=is_of_tenant)
    return MultipleChoiceField(choices=choices, widget=UnfoldAdminCheckboxSelectMultipleWidget(), **options)


def _days_field(*, is_of_tenant: bool, **options: Any) -> TypedMultipleChoiceField:
    days = [(number + 1, name) for number, name in WEEKDAYS.items()]
    widget = UnfoldAdminCheckboxSelectMultipleWidget()
    return TypedMultipleChoiceField(choices=days, coerce=int, widget=widget, **options)


_FIELDS: Final[Mapping[str, Callable[..., Any]]] = {
    "measure": _measure_field,
    "inhibits": _measures_field,
    "active_days": _days_field,
    "only_tenant": lambda **_options: tenant_field(),
}


class NamedChoicesMixin(ConsoleAdmin):
    """Mixin of admins with these fields; a tenant's rows are about this tenant only."""

    hidden_from_tenants: ClassVar[frozenset[str]] = frozenset({"only_tenant", "notifies_tenant"})

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name not in _FIELDS:
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        options = {"label": capfirst(str(db_field.verbose_name)), "help_text": db_field.help_text}
        is_of_tenant = self.access(request).tenant is not None
        return _FIELDS[db_field.name](required=not db_field.blank, is_of_tenant=is_of_tenant, **options)
