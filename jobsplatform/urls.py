"""The URLs. Each app's API is found through its AppConfig: `api_urls = "package.api.urls"`."""

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView


def _api_urls() -> list[URLResolver]:
    """Return one include for each installed app that names its API's URLs. No app is named here."""
    modules = [getattr(config, "api_urls", None) for config in apps.get_app_configs()]
    return [path("", include(module)) for module in modules if module]


urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include(_api_urls())),
    path("", include("jobsplatform.health.urls")),
]
