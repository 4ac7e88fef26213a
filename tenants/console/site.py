"""The admin site of the console. Apps register their pages on it and draw their own pages in its frame."""

from __future__ import annotations

from django.contrib import admin

# The class behind it is the site's choice (`AdminConfig.default_site`).
console_site = admin.site
