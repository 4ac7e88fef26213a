"""The URLs. Each app's API is found through its AppConfig: `api_urls = "package.api.urls"`; what lies beside API and
console by `page_urls`."""

from django.apps import apps
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.defaults import bad_request
from django.views.generic import RedirectView
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularSwaggerSplitView

from jobsplatform.schema_document import SchemaView
from tenants.api.problems import problem_response, replace_page
from tenants.console.site import console_site
from tenants.exceptions import AddressUnknownError
from tenants.url_prefixes import API_PREFIX, API_V1_PREFIX, CONSOLE_PREFIX


def _urls_of_apps(attribute: str) -> list[URLResolver]:
    """Return one include for each installed app that names its URLs so. No app is named here.

    Addresses are compared one after another, so that the apps that say `is_asked_most` come first.
    """
    configs = sorted(apps.get_app_configs(), key=lambda config: not getattr(config, "is_asked_most", False))
    modules = [getattr(config, attribute, None) for config in configs]
    return [path("", include(module)) for module in modules if module]


@csrf_exempt
def refuse_address(request: HttpRequest) -> HttpResponse:
    """404 as a problem for whatever else is asked of the API."""
    return problem_response(AddressUnknownError("There is nothing at this address; addresses end with a slash."))


def refuse_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 for what no view was asked about, such as a host that is not served; a problem where it is the API's."""
    page = bad_request(request, exception)
    return replace_page(page) if request.path_info.startswith(API_PREFIX) else page


_API = API_V1_PREFIX.removeprefix("/")

handler400 = refuse_request
handler403 = "jobsplatform.console.refusals.refuse_person"
handler404 = "jobsplatform.console.refusals.tell_missing"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path(CONSOLE_PREFIX.removeprefix("/"), console_site.urls),
    path(f"{_API}schema/", SchemaView.as_view(), name="schema"),
    path(f"{_API}docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path(_API, include(_urls_of_apps("api_urls"))),
    # Without this one, Django would redirect `/api/v1/jobs` and turn the client's POST into a GET.
    re_path(f"^{API_PREFIX.removeprefix('/')}", refuse_address),
    # A POST from the menu of the account: keeps the language in a cookie.
    path("language/", set_language, name="set_language"),
    path("", include("jobsplatform.health.urls")),
    path("", include(_urls_of_apps("page_urls"))),
]
