"""The console: Django's admin in unfold's shell."""

from django.urls import URLPattern, path
from unfold.sites import UnfoldAdminSite


class ConsoleSite(UnfoldAdminSite):
    """The one admin site, on which every app registers."""

    def extra_urls(self) -> list[URLPattern]:
        """Pages that belong to no model."""
        from scheduling.dashboards.overview import overview_fragment  # models are loaded later than this module

        # Cacheable with its tag: the browser keeps the part and is told when it is still the same.
        view = self.admin_view(overview_fragment, cacheable=True)
        return [path("overview/", view, name="overview_fragment")]
