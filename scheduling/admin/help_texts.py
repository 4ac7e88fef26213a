"""What each field that a person edits means, where the model does not say it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Field
from django.http import HttpRequest
from unfold.admin import ModelAdmin


class HelpfulMixin(ModelAdmin):
    """Adds ``help_texts`` to the fields of a form."""

    help_texts: ClassVar[dict[str, str]] = {}

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        text = self.help_texts.get(db_field.name)
        if text:
            kwargs.setdefault("help_text", text)
        return super().formfield_for_dbfield(db_field, request, **kwargs)
