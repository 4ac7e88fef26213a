"""Where the links of files lead: beside API and console, for whoever has one."""

from __future__ import annotations

from django.urls import path

from workloads.files.downloads import download

urlpatterns = [path("files/download", download, name="file-download")]
