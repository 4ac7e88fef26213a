"""What rows that people name have in common."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext

from tenants.names import find_invisible_character


class NamedModel(models.Model):
    """A row with a `name` in which nobody hides a character; forms say so beside the field."""

    class Meta:
        abstract = True

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
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
