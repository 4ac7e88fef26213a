"""Admin pages of uploaded files: upload, download and deletion."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy

from tenants.access.permissions import Permission
from tenants.console.base import ReadOnlyAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from tenants.models import Tenant
from workloads.files.forms import ManyFilesField
from workloads.files.links import make_link
from workloads.files.models import Artifact, StoredFile, UploadedFile
from workloads.files.service import delete_file, upload_files

_NOTE = gettext_lazy("All files are accepted or none. Content that is already stored takes no additional space.")


class FileUploadForm(forms.Form):
    """Form of an upload: the files and, for platform staff, the tenant."""

    def __init__(self, *args: Any, own: Tenant | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if own is None:
            self.fields["tenant"] = forms.ModelChoiceField(
                label=gettext("Tenant"), queryset=Tenant.objects.order_by("slug")
            )
        else:
            # A user of a tenant cannot choose another one.
            mine = Tenant.objects.filter(pk=own.pk)
            self.fields["tenant"] = forms.ModelChoiceField(queryset=mine, required=False, widget=forms.HiddenInput)
        # Set here, since in the class `files` is a form's attribute of uploaded files.
        self.fields["files"] = ManyFilesField(help_text=gettext("Of any type; at most 50 MiB each."))


class StoredFileAdmin(ReadOnlyAdmin):
    """Base of the admin pages of files, which are changed by actions only."""

    view_permission = Permission.FILES_VIEW
    list_display = ("name", "content_type", "size", "created_at")
    search_fields = ("name",)
    ordering = ("-id",)
    post_actions: ClassVar[tuple[str, ...]] = ("download",)
    readonly_fields = ("size",)
    fields: tuple[str, ...] = ("name", "content_type", "size", "sha256", "created_at")

    @admin.display(description=gettext_lazy("Size"), ordering="size_bytes")
    def size(self, file: StoredFile) -> str:
        return filesizeformat(file.size_bytes)

    @post_action(label=gettext_lazy("Download"), permission=Permission.FILES_DOWNLOAD)
    def download(self, request: HttpRequest, file: StoredFile, reason: str) -> HttpResponse:
        return HttpResponseRedirect(make_link(file=file, reason=reason).path)


@admin.register(Artifact, site=console_site)
class ArtifactAdmin(StoredFileAdmin):
    """Admin page of the files that jobs have attached."""

    empty_title = gettext_lazy("No artifacts yet")
    empty_text = gettext_lazy("A processor attaches a file to its job with context.attach(name, file).")
    fields = (*StoredFileAdmin.fields, "job_id")


@admin.register(UploadedFile, site=console_site)
class UploadedFileAdmin(StoredFileAdmin):
    """Admin page of the files that tenants have uploaded."""

    empty_title = gettext_lazy("No files yet")
    empty_text = gettext_lazy(
        "Upload one above, or with POST /api/v1/files/; jobs and documents refer to it by its id."
    )
    list_before_template = "files/admin/upload_link.html"
    post_actions = ("download", "delete")

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("The file is deleted for ever. Jobs that refer to it fail."),
        permission=Permission.FILES_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, file: UploadedFile, reason: str) -> HttpResponse:
        delete_file(file=file, reason=reason)
        self.message_user(request, gettext("%(file)s is deleted.") % {"file": file})
        return HttpResponseRedirect(reverse("admin:files_uploadedfile_changelist"))

    def get_urls(self) -> list[URLPattern]:
        upload = self.guard(self.upload_view, Permission.FILES_MANAGE, takes_files=True)
        return [path("upload/", upload, name="files_uploadedfile_upload"), *super().get_urls()]

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Show the form of an upload; on POST all files are stored, or none, with the reasons."""
        own = self.access(request).tenant
        if request.method == "POST":
            files = {"files": request.FILES.getlist("files")}
            form = FileUploadForm(request.POST, files, own=own)
            if form.is_valid() and self._has_taken(request, form, own or form.cleaned_data["tenant"]):
                return HttpResponseRedirect(reverse("admin:files_uploadedfile_changelist"))
        else:
            form = FileUploadForm(own=own)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Upload files"),
            "opts": self.opts,
            "form": form,
            "note": _NOTE,
        }
        return TemplateResponse(request, "files/admin/upload.html", context)

    def _has_taken(self, request: HttpRequest, form: FileUploadForm, tenant: Tenant) -> bool:
        try:
            taken = upload_files(tenant=tenant, files=form.cleaned_data["files"])
        except DomainError as refusal:
            for message in [fault["detail"] for fault in refusal.errors] or [refusal.detail]:
                form.add_error("files", message)
            return False
        self.message_user(request, gettext("%(count)s files uploaded.") % {"count": len(taken)})
        return True
