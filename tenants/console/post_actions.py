"""Actions on one row as buttons that POST, so that no link, prefetch or crawler can start one.

An action that asks for something or is dangerous opens one dialog: title, consequence, its inputs, Cancel.

class TenantAdmin(TenantScopedAdmin):
    post_actions = ("suspend",)

    @post_action(
        label=gettext_lazy("Suspend"),
        consequence=gettext_lazy("None of its jobs is dispatched until it is reinstated."),
        permission=Permission.TENANTS_OPERATE,
        asks_reason=True,
    )
    def suspend(self, request, tenant, reason):
        suspend_tenant(tenant=tenant, reason=reason)
        return f"{tenant} is suspended."
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.exceptions import DomainError, FieldInvalidError
from tenants.identity.step_up import ask_for_factor

# Runs the action through a service. Returns the message to show, or a response of its own.
Act = Callable[[Any, HttpRequest, Any, str], "str | HttpResponse"]
REASON_LIMIT = 500
UNTIL_ENDED = gettext_lazy("empty: until ended manually")


@dataclass(frozen=True, slots=True)
class PostAction:
    """A button on a row's page: its permission, for which rows it is offered, and which inputs its dialog asks for.

    The inputs are a reason (required or not), an end time and, as confirmation, the row's slug.
    """

    label: str | Promise
    consequence: str | Promise | Callable[[Any], str]
    permission: Permission
    asks_reason: bool
    takes_reason: bool
    asks_until: bool
    until_hint: str | Promise
    asks_slug: bool
    is_danger: bool
    is_offered: Callable[[Any], bool]

    @property
    def opens_dialog(self) -> bool:
        """Return whether the button opens a dialog instead of acting at once."""
        return self.takes_reason or self.asks_until or self.asks_slug or self.is_danger


def post_action(
    *,
    label: str | Promise,
    permission: Permission,
    consequence: str | Promise | Callable[[Any], str] = "",
    asks_reason: bool = False,
    takes_reason: bool = False,
    asks_until: bool = False,
    until_hint: str | Promise = UNTIL_ENDED,
    asks_slug: bool = False,
    is_danger: bool = False,
    is_offered: Callable[[Any], bool] = lambda row: True,
) -> Callable[[Act], Act]:
    """Return a decorator that makes an admin's method an action, offered as a button on the row's page.

    ``consequence``, a text or a function of the row, says in the dialog what the action does, ``until_hint`` what an
    empty end time means; ``takes_reason`` asks for a reason that may stay empty.
    Raise `ValueError` if the action opens a dialog and has no consequence.
    """

    def describe(act: Act) -> Act:
        """Attach the declaration to the method."""
        described = PostAction(
            label,
            consequence,
            permission,
            asks_reason,
            takes_reason or asks_reason,
            asks_until,
            until_hint,
            asks_slug,
            is_danger,
            is_offered,
        )
        if described.opens_dialog and not consequence:
            raise ValueError(f"The dialog of {act.__qualname__} must say what the action does.")
        act.post_action = described  # type: ignore[attr-defined]
        return act

    return describe


def until_of(request: HttpRequest) -> datetime | None:
    """Return the submitted end time of the action's effect, read as UTC if it has no offset; None if left empty.

    Raise `FieldInvalidError` if it is not a time.
    """
    text = request.POST.get("until", "").strip()
    moment = parse_moment(text)
    if text and moment is None:
        raise FieldInvalidError("until: It must be a time such as 2026-01-31T09:30.")
    return moment


def parse_moment(text: str) -> datetime | None:
    """Return the text as a time, read as UTC if it has no offset, or None if it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_reason(request: HttpRequest) -> str:
    """Return the submitted reason, without NUL bytes and cut to REASON_LIMIT characters."""
    return request.POST.get("reason", "").replace("\x00", "").strip()[:REASON_LIMIT]


class PostActionsMixin(ModelAdmin):
    """Mixin that shows an admin's `post_actions` above the form and runs them at `<row>/act/<name>/`."""

    post_actions: ClassVar[tuple[str, ...]] = ()
    # The permissions to add and change; None: not possible here.
    add_permission: ClassVar[Permission | None] = None
    change_permission: ClassVar[Permission | None] = None
    change_form_outer_before_template = "tenants/admin/post_actions.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_act"
        return [path("<path:object_id>/act/<slug:name>/", view, name=name), *super().get_urls()]

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponseBase:
        """Run the action on the row on POST; answer 405 to other methods."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        action = self._described(name)
        if action is None:
            raise Http404
        # Before any look-up of rows: a caller without a tenant has no scope to query in.
        if not self._is_permitted(request, action):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if (asked := ask_for_factor(request, action.permission, self._page_of(row))) is not None:
            return asked
        try:
            outcome = getattr(self, name)(request, row, read_reason(request))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        else:
            if isinstance(outcome, HttpResponseBase):
                return outcome
            messages.success(request, outcome)
        return HttpResponseRedirect(self._page_of(row))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if object_id is None or request.method == "POST":
            needed = self.add_permission if object_id is None else self.change_permission
            is_permitted = needed is not None and access_of(request).may(needed)
            if is_permitted and (asked := ask_for_factor(request, needed, request.path)) is not None:
                return asked
        context = {**(extra_context or {}), "post_actions": []}
        if object_id is not None and self.post_actions and self.has_view_permission(request):
            row = self.get_object(request, object_id)
            if row is not None:
                context["post_actions"] = list(self._buttons(request, row))
        response: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return response

    def _buttons(self, request: HttpRequest, row: Model) -> Iterator[dict[str, Any]]:
        """Yield the actions that this request may run on this row, with their URLs."""
        for name in self.post_actions:
            action = self._described(name)
            if action is not None and self._is_permitted(request, action) and action.is_offered(row):
                url_name = f"admin:{self.opts.app_label}_{self.opts.model_name}_act"
                url = reverse(url_name, args=[row.pk, name])
                if callable(action.consequence):
                    action = replace(action, consequence=action.consequence(row))
                yield {"id": name, "name": name, "action": action, "url": url, "row": row}

    def _described(self, name: str) -> PostAction | None:
        return getattr(getattr(self, name, None), "post_action", None) if name in self.post_actions else None

    def _is_permitted(self, request: HttpRequest, action: PostAction) -> bool:
        return access_of(request).may(action.permission)

    def _page_of(self, row: Model) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])
