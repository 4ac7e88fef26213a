"""The admin site of the console, on which each app registers its pages."""

from __future__ import annotations

from django.contrib import admin

# The class behind it is the site's choice (`AdminConfig.default_site`).
console_site = admin.site
