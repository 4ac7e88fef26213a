"""Form field for several files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext


class ManyFilesInput(forms.FileInput):
    """Django's file input, which accepts several files."""

    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Form field of several files. It returns them unchecked; the upload validates each."""

    widget = ManyFilesInput

    def __init__(self, **options: Any) -> None:
        super().__init__(label=gettext("Files"), **options)

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[bytes]]:
        if not data:
            raise forms.ValidationError(self.error_messages["required"], code="required")
        return list(data)
