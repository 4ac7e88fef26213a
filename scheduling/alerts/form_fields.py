"""Form fields of rules, routes and silences: choices of measures, weekdays and tenants by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.contrib.admin import ModelAdmin
from django.db.models import Field
from django.forms import ChoiceField, MultipleChoiceField, TypedMultipleChoiceField
from django.http import HttpRequest
from django.utils.dates import WEEKDAYS
from django.utils.text import capfirst
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from scheduling.alerts.measures import measures
from tenants.console.tenant_choice import tenant_field


def _titles() -> list[tuple[str, str]]:
    named = [(name, str(measure.title), measure.unit) for name, measure in measures().items()]
    return [(name, capfirst(f"{title} ({unit})" if unit else title)) for name, title, unit in named]


def _measure_field(**options: Any) -> ChoiceField:
    empty = [] if options["required"] else [("", "—")]
    return ChoiceField(choices=lambda: [*empty, *_titles()], widget=UnfoldAdminSelectWidget(), **options)


def _measures_field(**options: Any) -> MultipleChoiceField:
    return MultipleChoiceField(choices=_titles, widget=UnfoldAdminCheckboxSelectMultipleWidget(), **options)


def _days_field(**options: Any) -> TypedMultipleChoiceField:
    days = [(number + 1, name) for number, name in WEEKDAYS.items()]
    widget = UnfoldAdminCheckboxSelectMultipleWidget()
    return TypedMultipleChoiceField(choices=days, coerce=int, widget=widget, **options)


_FIELDS: Final[Mapping[str, Callable[..., Any]]] = {
    "measure": _measure_field,
    "inhibits": _measures_field,
    "active_days": _days_field,
    "only_tenant": tenant_field,
}


class NamedChoicesMixin(ModelAdmin):  # type: ignore[type-arg]
    """Mixin of admins with these fields."""

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name not in _FIELDS:
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        label = capfirst(str(db_field.verbose_name))
        return _FIELDS[db_field.name](label=label, help_text=db_field.help_text, required=not db_field.blank)
