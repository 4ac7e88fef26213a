"""Admin mixin that adds help texts to form fields, in addition to those of the models."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Field
from django.http import HttpRequest
from django.utils.functional import Promise
from unfold.admin import ModelAdmin


class HelpfulMixin(ModelAdmin):
    """Admin that adds the texts in ``help_texts`` to the form fields of these names."""

    help_texts: ClassVar[dict[str, str | Promise]] = {}

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        text = self.help_texts.get(db_field.name)
        if text:
            kwargs.setdefault("help_text", text)
        return without_related_links(super().formfield_for_dbfield(db_field, request, **kwargs))


def without_related_links(field: Any) -> Any:
    """Remove from a choice field the buttons that add or edit the related row; return the field."""
    widget = getattr(field, "widget", None)
    for name in ("can_add_related", "can_change_related", "can_delete_related", "can_view_related"):
        if hasattr(widget, name):
            setattr(widget, name, False)
    return field
