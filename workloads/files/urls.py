"""The URL of file downloads. It is outside of API and console, because it needs no log-in."""

from __future__ import annotations

from django.urls import path

from workloads.files.downloads import download

urlpatterns = [path("files/download", download, name="file-download")]
