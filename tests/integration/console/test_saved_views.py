"""Saved views: owner, visibility, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.jobs.saved_views.service import save_view
from scheduling.models import SavedView
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Role, Tenant

pytestmark = pytest.mark.django_db

Console = Callable[[User], Client]


@pytest.fixture
def colleague(acme: Tenant) -> User:
    """Return another member of acme."""
    user = User.objects.create_user("carla")
    add_member(tenant=acme, user=user, role=Role.DEVELOPER)
    return user


def post(client: Client, route: str, *args: object, **data: Any) -> Any:
    return client.post(reverse(f"admin:scheduling_job_view_{route}_act", args=args), data)


def names(client: Client) -> set[str]:
    """Return the views that the Jobs page offers."""
    page = client.get(reverse("admin:scheduling_job_changelist"))
    return {item["view"].name for item in page.context["saved_views"]}


def save(client: Client, name: str, **data: Any) -> UUID:
    """Save a view, which must be accepted."""
    answer = post(client, "save", name=name, **{"q": "state:discarded", **data})
    assert answer.status_code == 302
    with all_tenants():
        return SavedView.objects.get(name=name).pk


def test_view_is_saved_shown_and_audited(console: Console, acme: Tenant, acme_user: User) -> None:
    client = console(acme_user)
    answer = post(client, "save", name="  Dead   ones ", q="state:DISCARDED  age:>60m")
    assert answer.url == reverse("admin:scheduling_job_changelist") + "?q=state%3ADISCARDED++age%3A%3E60m"
    assert names(client) == {"Dead ones"}
    with tenant_context(acme):
        view = SavedView.objects.get()
        entry = AuditLogEntry.objects.get(action="saved_view.created")
    assert (view.owner_id, view.tenant_id, view.query) == (acme_user.pk, acme.pk, "state:discarded age:>1h")
    assert entry.after == {"name": "Dead ones", "query": "state:discarded age:>1h", "is_shared": False}


def test_saved_views_are_visible_to_owner_or_tenant_if_shared(
    console: Console, acme_user: User, colleague: User, globex_user: User, staff: User
) -> None:
    client = console(acme_user)
    own = save(client, "own")
    save(client, "shared", is_shared="1")
    assert names(client) == {"own", "shared"}
    assert names(console(colleague)) == {"shared"}
    assert post(console(colleague), "forget", own).status_code == 404
    assert names(console(globex_user)) == set()
    # Platform users have their own views, which no tenant sees.
    save(console(staff), "everywhere", is_shared="1")
    assert names(console(staff)) == {"everywhere"}
    assert names(console(acme_user)) == {"own", "shared"}


def test_view_of_another_tenant_is_not_found(
    console: Console, globex: Tenant, globex_user: User, acme_user: User
) -> None:
    with tenant_context(globex):
        theirs = save_view(owner=globex_user, name="theirs", text="kind:noop", is_shared=True)
    client = console(acme_user)
    assert post(client, "rename", theirs.pk, name="mine").status_code == 404
    assert post(client, "forget", theirs.pk).status_code == 404
    with all_tenants():
        assert SavedView.objects.get().name == "theirs"


def test_view_is_renamed_and_deleted(console: Console, acme: Tenant, acme_user: User, colleague: User) -> None:
    view = save(console(acme_user), "first", is_shared="1")
    post(console(colleague), "rename", view, name="second")
    assert names(console(acme_user)) == {"second"}
    post(console(colleague), "forget", view)
    assert names(console(acme_user)) == set()
    with tenant_context(acme):
        acts = AuditLogEntry.objects.filter(target_id=str(view)).order_by("id").values_list("action", "actor_label")
        assert list(acts) == [
            ("saved_view.created", acme_user.username),
            ("saved_view.renamed", "carla"),
            ("saved_view.deleted", "carla"),
        ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("", "kind:noop", "A name must have 1 to 60"),
        ("x" * 61, "kind:noop", "A name must have 1 to 60"),
        ("a\u200bb", "kind:noop", "A name must have 1 to 60"),
        ("x", "", "The filter is empty"),
        ("x", "stat:discarded", "Did you mean “state”"),
        ("taken", "kind:noop", "You already have a view"),
    ],
)
def test_invalid_view_is_refused_with_a_message(
    console: Console, acme_user: User, name: str, text: str, words: str
) -> None:
    client = console(acme_user)
    save(client, "taken")
    answer = client.post(reverse("admin:scheduling_job_view_save_act"), {"name": name, "q": text}, follow=True)
    assert answer.status_code == 200
    assert [words in str(message) for message in answer.context["messages"]] == [False, True]
    assert names(client) == {"taken"}


def test_number_of_views_is_limited(console: Console, acme_user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduling.jobs.saved_views.service.MAX_VIEWS", 1)
    client = console(acme_user)
    save(client, "first")
    post(client, "save", name="second", q="kind:noop")
    assert names(client) == {"first"}


def test_viewer_cannot_save_views(console: Console, acme: Tenant) -> None:
    viewer = User.objects.create_user("vera")
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    client = console(viewer)
    assert post(client, "save", name="x", q="kind:noop").status_code == 403
    assert (
        "Save this filter"
        not in client.get(reverse("admin:scheduling_job_changelist"), {"q": "kind:noop"}).content.decode()
    )


def test_get_of_an_act_changes_nothing(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    view = save(client, "kept")
    for url in (
        reverse("admin:scheduling_job_view_save_act"),
        reverse("admin:scheduling_job_view_rename_act", args=[view]),
        reverse("admin:scheduling_job_view_forget_act", args=[view]),
    ):
        assert client.get(url).status_code == 405
    assert names(client) == {"kept"}
