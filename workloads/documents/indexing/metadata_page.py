"""Console page that changes the metadata of a document."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from tenants.exceptions import DomainError
from workloads.documents.indexing.service import change_metadata
from workloads.documents.models import Document


class MetadataForm(forms.Form):
    """Form of the values of a document."""

    metadata = forms.JSONField(
        label=gettext_lazy("Metadata"), required=False, widget=forms.Textarea(attrs={"rows": 6, "class": "font-mono"})
    )


class MetadataPage:
    """Mixin of the admin page of documents: a form with the values as JSON."""

    def metadata_view(self: Any, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the values of a document; on POST, replace them."""
        document: Document | None = self.get_object(request, object_id)
        if document is None:
            raise Http404
        form = MetadataForm(request.POST or None, initial={"metadata": document.metadata})
        if form.is_valid():
            given = form.cleaned_data["metadata"] or {}
            removed = dict.fromkeys(document.metadata) if isinstance(given, dict) else {}
            try:
                change_metadata(document_id=document.pk, metadata={**removed, **given} if removed else given)
            except DomainError as refusal:
                form.add_error("metadata", refusal.detail)
            else:
                self.message_user(request, gettext("The metadata is changed."))
                return HttpResponseRedirect(reverse("admin:retrieval_document_change", args=[document.pk]))
        fields = ", ".join(f"`{name}: {kind}`" for name, kind in document.dataset.fields.items())
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Metadata of %(document)s") % {"document": document},
            "opts": self.opts,
            "form": form,
            "note": gettext("Fields of the dataset: %(fields)s.") % {"fields": fields or gettext("none")},
            "submit": gettext("Save"),
        }
        return TemplateResponse(request, "files/admin/upload.html", context)
