"""URLs of the site.

Each app names the module of its API in `api_urls` of its AppConfig (such as "package.api.urls"), and that of other
pages in `page_urls`.
"""

from django.apps import apps
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.defaults import bad_request
from django.views.generic import RedirectView
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularSwaggerSplitView

from jobsplatform.api_root import RootView
from jobsplatform.schema_document import SchemaView
from tenants.api.problems import problem_response, replace_page
from tenants.console.site import console_site
from tenants.exceptions import AddressUnknownError
from tenants.url_prefixes import API_PREFIX, API_V1_PREFIX, CONSOLE_PREFIX


def _urls_of_apps(attribute: str) -> list[URLResolver]:
    """Return an include of the URL module that each installed app names in this attribute.

    Patterns are tried in order, so apps with `is_asked_most` come first.
    """
    configs = sorted(apps.get_app_configs(), key=lambda config: not getattr(config, "is_asked_most", False))
    modules = [getattr(config, attribute, None) for config in configs]
    return [path("", include(module)) for module in modules if module]


@csrf_exempt
def refuse_address(request: HttpRequest) -> HttpResponse:
    """Return 404 as a problem document, for URLs of the API that do not exist."""
    return problem_response(AddressUnknownError("There is no such URL; URLs end with a slash."))


def refuse_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return 400 for a request that reached no view, such as one with an unknown host.

    For URLs of the API it is a problem document.
    """
    page = bad_request(request, exception)
    return replace_page(page) if request.path_info.startswith(API_PREFIX) else page


_API = API_V1_PREFIX.removeprefix("/")
# Below it.
api_patterns: list[URLPattern | URLResolver] = [
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    *_urls_of_apps("api_urls"),
]

handler400 = refuse_request
handler403 = "jobsplatform.console.error_pages.forbidden_page"
handler404 = "jobsplatform.console.error_pages.not_found_page"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    # Before the console, whose last pattern matches everything below it.
    path(CONSOLE_PREFIX.removeprefix("/") + "sign-in/", include("tenants.identity.urls")),
    path(CONSOLE_PREFIX.removeprefix("/"), console_site.urls),
    path(_API, include([*api_patterns, path("", RootView.as_view(), name="api-root")])),
    # Without this pattern, Django would redirect `/api/v1/jobs` and turn the client's POST into a GET.
    re_path(f"^{API_PREFIX.removeprefix('/')}", refuse_address),
    # A POST from the account menu: stores the language in a cookie.
    path("language/", set_language, name="set_language"),
    path("", include("jobsplatform.health.urls")),
    path("", include(_urls_of_apps("page_urls"))),
]
