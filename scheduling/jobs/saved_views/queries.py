"""Reads of saved views: a user's own ones, and those that others share in the same tenant."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q, QuerySet

from scheduling.exceptions import SavedViewNotFoundError
from scheduling.models import SavedView
from tenants.context import require_scope
from tenants.database.reads import first_or_raise

# The most views that are listed; the services limit a user's own to fewer.
SHOWN_VIEWS = 100


def list_views(user: AbstractBaseUser, place: str = SavedView.Place.JOBS) -> list[SavedView]:
    """Return the views of a page that a user may choose; within `all_tenants()` only those of platform staff."""
    views = _visible(user).filter(place=place)
    if require_scope().is_all_tenants:
        views = views.filter(tenant=None)
    return list(views.order_by("name", "id")[:SHOWN_VIEWS])


def get_view(view_id: UUID, user: AbstractBaseUser) -> SavedView:
    """Return a view that the user may see; raise `SavedViewNotFoundError` for any other."""
    return first_or_raise(_visible(user).filter(pk=view_id), SavedViewNotFoundError)


def _visible(user: AbstractBaseUser) -> QuerySet[SavedView]:
    return SavedView.objects.filter(Q(owner_id=user.pk) | Q(is_shared=True))
