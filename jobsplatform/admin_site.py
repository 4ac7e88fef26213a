"""The console: Django's admin in unfold's shell."""

from unfold.sites import UnfoldAdminSite


class ConsoleSite(UnfoldAdminSite):
    """The one admin site, on which every app registers."""
