"""Forms of documents: upload and re-indexing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from workloads.documents.extraction.sniffing import ACCEPTED
from workloads.documents.models import MAX_ENCODING_LENGTH, Dataset
from workloads.files.forms import ManyFilesField


class DocumentUploadForm(forms.Form):
    """Form of an upload: the files, the dataset to add them to, and the encoding of files of text."""

    dataset: forms.ModelChoiceField[Dataset] = forms.ModelChoiceField(label=gettext_lazy("Dataset"), queryset=None)
    encoding = forms.CharField(
        label=gettext_lazy("Encoding"),
        max_length=MAX_ENCODING_LENGTH,
        required=False,
        help_text=gettext_lazy("Of files of text, such as cp1252 or gb18030; empty: it is detected."),
    )
    metadata = forms.JSONField(
        label=gettext_lazy("Metadata"),
        required=False,
        widget=forms.TextInput,
        help_text=gettext_lazy('Of each new document, as JSON with the fields of the dataset, such as {"year": 2026}.'),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Set here, since in the class `files` is a form's attribute of uploaded files.
        self.fields["files"] = ManyFilesField(
            help_text=gettext("Files of these types: %(types)s. At most 50 MiB each.") % {"types": ACCEPTED}
        )
        field: Any = self.fields["dataset"]
        field.queryset = Dataset.objects.order_by("-id").select_related("tenant")


class ReindexForm(forms.Form):
    """Form that re-indexes a dataset: which documents, and why."""

    dataset: forms.ModelChoiceField[Dataset] = forms.ModelChoiceField(label=gettext_lazy("Dataset"), queryset=None)
    everything = forms.BooleanField(
        required=False,
        label=gettext_lazy("All documents"),
        help_text=gettext_lazy("Including documents whose settings are current."),
    )
    discard_edits = forms.BooleanField(
        required=False,
        label=gettext_lazy("Discard changes of chunks"),
        help_text=gettext_lazy("Chunks that were edited or switched off by hand are replaced."),
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=500, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["dataset"]
        field.queryset = Dataset.objects.order_by("-id").select_related("tenant")
