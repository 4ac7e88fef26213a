"""Creation, renaming and deletion of saved views."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction

from scheduling.exceptions import SavedViewInvalidError, SavedViewLimitError, SavedViewNameTakenError
from scheduling.jobs.filters import parse
from scheduling.jobs.saved_views.queries import get_view
from scheduling.log_search.query import parse_query
from scheduling.models import SavedView
from tenants.audit.service import record_audit
from tenants.context import current_tenant_id
from tenants.encryption.fields import is_sealing
from tenants.tenancy.bases import find_invisible_character

MAX_NAME_CHARACTERS = 60
MAX_QUERY_CHARACTERS = 4_000
MAX_VIEWS = 50


def save_view(
    *, owner: AbstractBaseUser, name: str, text: str, is_shared: bool, place: str = SavedView.Place.JOBS
) -> SavedView:
    """Save the filter of a page under a name, for the current tenant or, within `all_tenants()`, for platform staff.

    Raise SavedViewInvalidError, SavedViewLimitError, SavedViewNameTakenError, or the error of a filter that the page
    would refuse.
    """
    is_search = place == SavedView.Place.LOGS
    query = parse_query(text, is_sealed=is_sealing()).text if is_search else parse(text).text
    if not query:
        raise SavedViewInvalidError("The filter is empty: it would show everything.")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise SavedViewInvalidError(
            "The filter has more than %(limit)s characters.", {"limit": f"{MAX_QUERY_CHARACTERS:,}"}
        )
    tenant_id = current_tenant_id()
    facts: dict[str, Any] = {"tenant_id": tenant_id, "owner_id": owner.pk, "place": place}
    view = SavedView(name=_read(name), query=query, is_shared=is_shared, **facts)
    if SavedView.objects.filter(**facts).count() >= MAX_VIEWS:
        raise SavedViewLimitError("You already have %(limit)s views here. Delete one first.", {"limit": MAX_VIEWS})
    with transaction.atomic():
        _save(view)
        record_audit(action="saved_view.created", target=view, after=_facts(view))
    return view


def rename_view(*, view_id: UUID, user: AbstractBaseUser, name: str) -> SavedView:
    """Rename a view, the user's own or a shared one; raise SavedViewNotFoundError or SavedViewNameTakenError."""
    wanted = _read(name)
    with transaction.atomic():
        view = get_view(view_id, user)
        before, view.name = view.name, wanted
        if before != wanted:
            _save(view)
            record_audit(action="saved_view.renamed", target=view, before={"name": before}, after={"name": wanted})
    return view


def delete_view(*, view_id: UUID, user: AbstractBaseUser) -> None:
    """Delete a view, the user's own or a shared one; raise SavedViewNotFoundError."""
    with transaction.atomic():
        view = get_view(view_id, user)
        record_audit(action="saved_view.deleted", target=view, before=_facts(view))
        view.delete()


def _read(name: str) -> str:
    wanted = " ".join(name.split())
    if not wanted or len(wanted) > MAX_NAME_CHARACTERS or find_invisible_character(wanted) is not None:
        raise SavedViewInvalidError(
            "A name must have 1 to %(limit)s visible characters.", {"limit": MAX_NAME_CHARACTERS}
        )
    return wanted


def _save(view: SavedView) -> None:
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError as error:
        raise SavedViewNameTakenError("You already have a view %(name)r here.", {"name": view.name}) from error


def _facts(view: SavedView) -> dict[str, object]:
    return {"name": view.name, "query": view.query, "is_shared": view.is_shared}
