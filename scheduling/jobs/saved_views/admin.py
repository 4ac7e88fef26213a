"""Saved views on the Jobs page: created, renamed and deleted by POST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from scheduling.exceptions import SavedViewNotFoundError
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.list_page import list_url, list_url_of_text
from scheduling.jobs.saved_views.queries import list_views
from scheduling.jobs.saved_views.service import delete_view, rename_view, save_view
from scheduling.models import SavedView
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin
from tenants.exceptions import DomainError

# All who see jobs may use views. Saving one requires a right to act, since views persist and others see them.
SAVING = Permission.JOBS_SUBMIT


class SavedViewPages(KeysetAdmin):
    """A mixin for the admin of jobs: the list of saved views, and views that save, rename and delete one."""

    def get_urls(self) -> list[URLPattern]:
        save = self.guard(require_POST(self.save_view), SAVING)
        rename = self.guard(require_POST(self.rename_view), SAVING)
        forget = self.guard(require_POST(self.forget_view), SAVING)
        return [
            path("views/", save, name="scheduling_job_view_save_act"),
            path("views/<uuid:view_id>/rename/", rename, name="scheduling_job_view_rename_act"),
            path("views/<uuid:view_id>/forget/", forget, name="scheduling_job_view_forget_act"),
            *super().get_urls(),
        ]

    def views_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the template context of the saved views; empty if the user may not see jobs."""
        return saved_views_context(request, SavedView.Place.JOBS) if self.has_view_permission(request) else {}

    def save_view(self, request: HttpRequest) -> HttpResponse:
        """Save the filter of a page as a view with a name."""
        text, place = request.POST.get("q", ""), _place(request)

        def act() -> str:
            save_view(
                owner=_person(request),
                name=request.POST.get("name", ""),
                text=text,
                is_shared="is_shared" in request.POST,
                place=place,
            )
            return _("The view is saved.")

        return _done(request, act, _address(place, text))

    def rename_view(self, request: HttpRequest, view_id: UUID) -> HttpResponse:
        """Rename a view."""

        def act() -> str:
            rename_view(view_id=view_id, user=_person(request), name=request.POST.get("name", ""))
            return _("The view is renamed.")

        return _done(request, act, _address(_place(request)))

    def forget_view(self, request: HttpRequest, view_id: UUID) -> HttpResponse:
        """Delete a view."""

        def act() -> str:
            delete_view(view_id=view_id, user=_person(request))
            return _("The view was deleted.")

        return _done(request, act, _address(_place(request)))


def saved_views_context(request: HttpRequest, place: str) -> dict[str, Any]:
    """Return the template context of the saved views of a page."""
    views = [{"view": view, "address": _address(place, view.query)} for view in list_views(_person(request), place)]
    return {"saved_views": views, "may_save_views": access_of(request).may(SAVING), "view_place": place}


def _place(request: HttpRequest) -> str:
    is_search = request.POST.get("place") == SavedView.Place.LOGS
    return SavedView.Place.LOGS if is_search else SavedView.Place.JOBS


def _address(place: str, text: str = "") -> str:
    if place == SavedView.Place.LOGS:
        return f"{reverse('admin:logs')}?{urlencode({'q': text})}"
    return list_url_of_text(text) if text else list_url(JobFilter())


def _person(request: HttpRequest) -> AbstractBaseUser:
    """Return the user; the guard before each view excludes all others."""
    assert isinstance(request.user, AbstractBaseUser)
    return request.user


def _done(request: HttpRequest, act: Callable[[], str], address: str) -> HttpResponse:
    """Run the action, show its message, and redirect to the list."""
    try:
        messages.success(request, act())
    except SavedViewNotFoundError as error:
        raise Http404(error.detail) from error
    except DomainError as refusal:
        messages.error(request, refusal.detail)
    return HttpResponseRedirect(address)
