"""The console: Django's admin in unfold's shell."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from unfold.sites import UnfoldAdminSite


class ConsoleSite(UnfoldAdminSite):
    """The one admin site, on which every app registers."""

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django's page; the other log-ins of the account end with its old password, and the change is audited."""
        from tenants.services.people import record_password_change

        response: HttpResponse = super().password_change(request, extra_context)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
            record_password_change(user=request.user)
        return response

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's page; refused, as the pages that it lists, to whoever may see none of them."""
        if not self.get_app_list(request, app_label):
            raise PermissionDenied
        response: HttpResponse = super().app_index(request, app_label, extra_context)
        return response

    def extra_urls(self) -> list[URLPattern]:
        """Pages that belong to no model."""
        # Models are loaded later than this module.
        from scheduling.dashboards.diagnosis import diagnosis_page
        from scheduling.dashboards.errors import error_occurrences_page, errors_page
        from scheduling.dashboards.fairness import fairness_fragment, fairness_page
        from scheduling.dashboards.heat_map import kinds_fragment
        from scheduling.dashboards.job_kinds import job_kinds_page
        from scheduling.dashboards.not_yet import alerts_page, compliance_page
        from scheduling.dashboards.overview import overview_fragment, shares_fragment
        from scheduling.dashboards.streams import numbers_stream
        from tenants.admin.base import guard_view
        from tenants.admin.matrix import roles_view
        from tenants.permissions import Permission

        # Cacheable with its tag: the browser keeps the part and is told when it is still the same.
        overview_part = guard_view(self, overview_fragment, Permission.JOBS_VIEW, cacheable=True)
        shares_part = guard_view(self, shares_fragment, Permission.JOBS_VIEW, cacheable=True)
        kinds_part = guard_view(self, kinds_fragment, Permission.PLATFORM_VIEW, cacheable=True)
        fairness_part = guard_view(self, fairness_fragment, Permission.JOBS_VIEW, cacheable=True)
        return [
            path("overview/", overview_part, name="overview_fragment"),
            path("overview/stream/", guard_view(self, numbers_stream, Permission.JOBS_VIEW), name="overview_stream"),
            path("overview/shares/", shares_part, name="overview_shares"),
            path("overview/kinds/", kinds_part, name="overview_kinds"),
            path("fairness/", guard_view(self, fairness_page, Permission.JOBS_VIEW), name="fairness"),
            path("fairness/part/", fairness_part, name="fairness_fragment"),
            path("errors/", guard_view(self, errors_page, Permission.JOBS_VIEW), name="errors"),
            path(
                "errors/<slug:fingerprint>/",
                guard_view(self, error_occurrences_page, Permission.JOBS_VIEW),
                name="error_occurrences",
            ),
            path("job-kinds/", guard_view(self, job_kinds_page, Permission.JOBS_VIEW), name="job_kinds"),
            path("alerts/", guard_view(self, alerts_page, Permission.PLATFORM_VIEW), name="alerts"),
            path("compliance/", guard_view(self, compliance_page, Permission.AUDIT_VIEW), name="compliance"),
            path("diagnosis/", guard_view(self, diagnosis_page, Permission.PLATFORM_VIEW), name="diagnosis"),
            path("roles/", guard_view(self, roles_view, Permission.MEMBERS_VIEW), name="roles"),
        ]
