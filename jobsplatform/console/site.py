"""Admin site of the console: Django's admin site with unfold's templates."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from http import HTTPStatus
from typing import Any, override

from django.contrib.admin import autodiscover
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.translation import get_language, gettext, gettext_lazy
from unfold.sites import UnfoldAdminSite

from tenants.access.caller import access_of
from tenants.access.devices import remember_device
from tenants.access.errors import SecondFactorRequiredError
from tenants.access.viewing import require_changeable
from tenants.database.platform_settings import platform_settings
from tenants.limits.declared import SEARCH, costs

READING = frozenset({"GET", "HEAD"})


class ConsoleSite(UnfoldAdminSite):
    """The only admin site of the project; every app registers its admin classes on it."""

    login_template = "admin/console_login.html"
    index_title = gettext_lazy("Overview")

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._app_lists: dict[tuple[object, ...], list[Any]] = {}

    @override
    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether the account is active and has a membership or a platform role.

        `is_staff` is ignored: in a host project it opens other admin pages, and the platform never sets it.
        """
        access = access_of(request)
        has_place = access.refusal is None and (access.platform_role is not None or access.role is not None)
        return bool(request.user.is_authenticated and request.user.is_active and has_place)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Serve the log-in page; after a log-in, exempt the browser from the account's limit of failed log-ins."""
        if request.method == "GET" and self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        if request.method == "GET" and isinstance(access_of(request).refusal, SecondFactorRequiredError):
            return HttpResponseRedirect(reverse("mfa_index"))
        from tenants.identity.log_in import ConsoleLoginView

        context = {
            **self.each_context(request),
            "title": gettext("Log in"),
            "app_path": request.get_full_path(),
            "username": request.user.get_username(),
            "provider": platform_settings.OIDC_NAME if platform_settings.OIDC_ISSUER else "",
        }
        view: Any = ConsoleLoginView.as_view(
            extra_context=context, authentication_form=self.login_form, template_name=self.login_template
        )
        response: HttpResponse = view(request)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND and request.user.is_authenticated:
            remember_device(request, response)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Serve Django's page for changing the password, and write an audit entry for a change.

        A change ends the account's other sessions.
        """
        from tenants.access.people import record_password_change

        response: HttpResponse = super().password_change(request, extra_context)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
            record_password_change(user=request.user)
            remember_device(request, response)
        return response

    @costs(SEARCH)
    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Serve the results of the palette, unfold's form of them; unlike its own search, they are not cached."""
        from jobsplatform.console.palette import find_in_console

        if not (text := request.GET.get("s", "").strip()):
            return HttpResponse()
        began = time.monotonic()
        found = Paginator(find_in_console(request, text), 100)
        context = {"page_obj": found, "results": found.page(1), "page_counter": 0}
        context["execution_time"] = time.monotonic() - began
        return render(request, "unfold/helpers/command_results.html", context)

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Return the menu, built for the user and the page at once."""
        from jobsplatform.console.navigation import build_navigation

        return build_navigation(request)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the context that all pages share, with the page's place in the menu."""
        from jobsplatform.console.navigation import place_in

        context: dict[str, Any] = super().each_context(request)
        return {**context, **place_in(context["sidebar_navigation"], request.path)}

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return Django's list of apps and models from a cache, because each page needs it twice; do not change it.

        The list depends only on permissions and language, because pages check nothing else (`tenants.console.base`).
        """
        key = (access_of(request).permissions, get_language(), app_label)
        found = self._app_lists.get(key)
        if found is None:
            found = super().get_app_list(request, app_label)
            for model in (model for app in found for model in app["models"]):
                model["name"] = getattr(self.get_model_admin(model["model"]), "page_title", model["name"])
            self._app_lists[key] = found
        return found

    def get_urls(self) -> list[URLResolver | URLPattern]:
        """Return Django's URLs with their views marked as non-atomic: a wrapper loses the mark of `admin_view`."""
        autodiscover()
        urls: list[URLResolver | URLPattern] = super().get_urls()
        for pattern in _guarded(urls):
            transaction.non_atomic_requests(pattern.callback)
        return urls

    @override
    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Return Django's guarded view; only requests that may write get their own transaction or savepoint."""
        guarded: Callable[..., Any] = super().admin_view(view, cacheable)

        @transaction.non_atomic_requests
        @wraps(guarded)
        def viewed(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.method in READING:
                return guarded(request, *args, **kwargs)
            require_changeable(request)
            with transaction.atomic():
                return guarded(request, *args, **kwargs)

        return viewed

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the overview: apps are no places of the console. Raise PermissionDenied as their pages do."""
        if not self.get_app_list(request, app_label):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:index"))

    def extra_urls(self) -> list[URLPattern]:
        """Return the URLs of console pages that do not belong to a model."""
        # Models are loaded later than this module.
        from scheduling.diagnosis.page import diagnosis_page
        from scheduling.errors.page import error_occurrences_page, failures_page
        from scheduling.jobs.kinds.page import job_kinds_page
        from scheduling.overview.page import overview_fragment, shares_fragment
        from scheduling.shares.page import fairness_fragment, fairness_page
        from scheduling.statistics.heat_page import heat_fragment, heat_page
        from scheduling.statistics.waits_page import wait_page
        from tenants.access.invitations_admin import invitation_page
        from tenants.access.matrix import roles_view
        from tenants.access.permissions import Permission
        from tenants.console.base import guard_view
        from tenants.console.exports import export_api_list

        # Cacheable by ETag: the browser keeps the fragment and gets 304 while it is unchanged.
        overview_part = guard_view(self, overview_fragment, Permission.JOBS_VIEW, cacheable=True)
        shares_part = guard_view(self, shares_fragment, Permission.JOBS_VIEW, cacheable=True)
        heat_part = guard_view(self, heat_fragment, Permission.JOBS_VIEW, cacheable=True)
        fairness_part = guard_view(self, fairness_fragment, Permission.JOBS_VIEW, cacheable=True)
        one_error = guard_view(self, error_occurrences_page, Permission.JOBS_VIEW)
        export = guard_view(self, export_api_list, Permission.JOBS_VIEW)
        return [
            path("overview/", overview_part, name="overview_fragment"),
            path("overview/shares/", shares_part, name="overview_shares"),
            path("heat-map/", guard_view(self, heat_page, Permission.JOBS_VIEW), name="heat_map"),
            path("heat-map/part/", heat_part, name="heat_map_fragment"),
            path("wait/", guard_view(self, wait_page, Permission.JOBS_VIEW), name="wait"),
            path("fairness/", guard_view(self, fairness_page, Permission.JOBS_VIEW), name="fairness"),
            path("fairness/part/", fairness_part, name="fairness_fragment"),
            path("failures/", guard_view(self, failures_page, Permission.JOBS_VIEW), name="failures"),
            path("failures/<slug:fingerprint>/", one_error, name="error_occurrences"),
            path("job-kinds/", guard_view(self, job_kinds_page, Permission.JOBS_VIEW), name="job_kinds"),
            path("diagnosis/", guard_view(self, diagnosis_page, Permission.PLATFORM_VIEW), name="diagnosis"),
            path("export/<slug:resource>/", export, name="export_api_list"),
            path("invitation/", invitation_page, name="invitation"),
            path("roles/", guard_view(self, roles_view, Permission.MEMBERS_VIEW), name="roles"),
            *self._log_urls(),
        ]

    def _log_urls(self) -> list[URLPattern]:
        from scheduling.correlation.page import correlation_page
        from scheduling.log_search.page import logs_page, logs_part, logs_summary
        from tenants.access.permissions import Permission
        from tenants.console.base import guard_view

        return [
            path("correlation/", guard_view(self, correlation_page, Permission.JOBS_VIEW), name="correlation"),
            path("logs/", guard_view(self, logs_page, Permission.LOGS_VIEW), name="logs"),
            path("logs/lines/", guard_view(self, logs_part, Permission.LOGS_VIEW, cacheable=True), name="logs_part"),
            path("logs/summary/", guard_view(self, logs_summary, Permission.LOGS_VIEW), name="logs_summary"),
        ]


def _guarded(urls: Iterable[URLResolver | URLPattern]) -> Iterator[URLPattern]:
    """Yield the URL patterns whose views `admin_view` has wrapped."""
    for url in urls:
        if isinstance(url, URLResolver):
            yield from _guarded(url.url_patterns)
        elif hasattr(url.callback, "admin_site") or hasattr(url.callback, "model_admin"):
            yield url
