"""URL of file downloads, outside API and console: it needs no login."""

from __future__ import annotations

from django.urls import path

from workloads.files.downloads import download

urlpatterns = [path("files/download", download, name="file-download")]
