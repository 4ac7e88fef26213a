"""Console page that shows the chunks which a file or text would have."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext, gettext_lazy

from tenants.exceptions import DomainError
from tenants.limits.declared import HEAVY, costs
from tenants.models import Tenant
from tenants.requests.bodies import MAX_ANONYMOUS_BYTES
from workloads.documents.extraction.sniffing import ACCEPTED, ContentType
from workloads.documents.indexing.preview import MAX_PREVIEW_BYTES, Preview, preview_file, preview_text
from workloads.documents.models import MAX_ENCODING_LENGTH, Dataset
from workloads.documents.service import SPLITTING

MAX_PREVIEW_BODY = MAX_PREVIEW_BYTES + MAX_ANONYMOUS_BYTES
_MAX_TEXT_LENGTH = 500_000


class PreviewForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    """Form of a preview: a file or a text, and the settings, which are first those of the dataset."""

    file = forms.FileField(label=gettext_lazy("File"), required=False)
    text = forms.CharField(
        label=gettext_lazy("Or a text, in Markdown"),
        required=False,
        max_length=_MAX_TEXT_LENGTH,
        widget=forms.Textarea(attrs={"rows": 6}),
    )
    encoding = forms.CharField(label=gettext_lazy("Encoding"), required=False, max_length=MAX_ENCODING_LENGTH)
    field_order = ("file", "text", *SPLITTING, "encoding")

    class Meta:
        model = Dataset
        fields: ClassVar[tuple[str, ...]] = SPLITTING

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        types = gettext("Files of these types: %(types)s. At most 5 MiB.") % {"types": ACCEPTED}
        self.fields["file"].help_text = types

    def clean(self) -> dict[str, Any]:
        asked: dict[str, Any] = super().clean() or self.cleaned_data
        if bool(asked.get("file")) == bool(asked.get("text")) and not self.errors:
            self.add_error("file", gettext("Choose a file or enter a text."))
        return asked


@costs(HEAVY)
def preview_page(admin: Any, request: HttpRequest, dataset_id: UUID) -> HttpResponse:
    """Show the form; on POST, also the first chunks, or the reasons of a refusal. Nothing is stored."""
    dataset = Dataset.objects.select_related("tenant").filter(pk=dataset_id).first()
    if dataset is None:
        raise Http404
    is_sent = request.method == "POST"
    form = PreviewForm(request.POST if is_sent else None, request.FILES if is_sent else None, instance=dataset)
    found = _preview(form, dataset.tenant) if is_sent and form.is_valid() else None
    context = {
        **admin.admin_site.each_context(request),
        "title": gettext("Preview of chunks of %(dataset)s") % {"dataset": dataset},
        "opts": admin.opts,
        "dataset": dataset,
        "form": form,
        "note": gettext("Nothing is stored, and the settings of the dataset stay as they are."),
        "submit": gettext("Preview chunks"),
        "preview": found,
    }
    return TemplateResponse(request, "document_indexing/admin/preview.html", context)


def _preview(form: PreviewForm, tenant: Tenant) -> Preview | None:
    """Return the preview of a valid form; None, with the reasons in the form, if it is refused."""
    asked, settings = form.cleaned_data, form.instance.split_settings
    try:
        if asked["file"]:
            return preview_file(tenant=tenant, file=asked["file"], settings=settings, encoding=asked["encoding"])
        text: str = asked["text"]
        return preview_text(tenant=tenant, text=text, content_type=ContentType.MARKDOWN, settings=settings)
    except DomainError as refusal:
        for fault in refusal.errors or [{"field": "file", "detail": refusal.detail}]:
            form.add_error(fault["field"] if fault["field"] in form.fields else "file", fault["detail"])
        return None
