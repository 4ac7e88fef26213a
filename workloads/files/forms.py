"""The console's field for several files at once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext


class ManyFilesInput(forms.FileInput):
    """Django's file input, for several files at once."""

    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """The files of one input; what is wrong with each is the upload's to say."""

    widget = ManyFilesInput

    def __init__(self, **options: Any) -> None:
        super().__init__(label=gettext("Files"), **options)

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[bytes]]:
        if not data:
            raise forms.ValidationError(self.error_messages["required"], code="required")
        return list(data)
