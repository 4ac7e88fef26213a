"""Account commands: each change is audited, and Django's unaudited commands are disabled."""

from __future__ import annotations

import io

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tenants.access.people_queries import find_user_roles
from tenants.access.permissions import PlatformRole
from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def entry_of(action: str) -> AuditLogEntry:
    with all_tenants():
        return AuditLogEntry.objects.get(action=action)


def give_password(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))


def test_first_admin_is_created_and_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    give_password(monkeypatch, PASSWORD)
    call_command("create_platform_admin", "ada", "--email", "ada@example.org", "--password-stdin", "--reason", "first")
    ada = User.objects.get(username="ada")
    assert find_user_roles(ada).platform_role is PlatformRole.ADMIN
    assert ada.check_password(PASSWORD)
    entry = entry_of("user.created")
    assert (entry.actor_kind, entry.actor_id, entry.target_id) == ("command", "create_platform_admin", str(ada.pk))
    assert entry.after == {"name": "ada", "email": "ada@example.org", "role": "admin"}
    assert entry.reason == "first"


@pytest.mark.parametrize(
    ("name", "password", "why"),
    [("alice", PASSWORD, "alice"), ("ada", "123", "short"), ("a/b c", PASSWORD, "username")],
)
def test_invalid_admin_is_refused_and_not_audited(
    acme_user: User, monkeypatch: pytest.MonkeyPatch, name: str, password: str, why: str
) -> None:
    give_password(monkeypatch, password)
    with pytest.raises(CommandError, match=why):
        call_command("create_platform_admin", name, "--password-stdin")
    with all_tenants():
        assert not AuditLogEntry.objects.filter(action="user.created").exists()


def test_password_without_a_terminal_needs_the_stdin_option(monkeypatch: pytest.MonkeyPatch) -> None:
    give_password(monkeypatch, PASSWORD)
    with pytest.raises(CommandError, match="--password-stdin"):
        call_command("create_platform_admin", "ada")


def test_new_password_is_audited_without_its_value(acme_user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    give_password(monkeypatch, "another long passphrase 8")
    call_command("change_password", "alice", "--password-stdin", stdout=io.StringIO())
    acme_user.refresh_from_db()
    assert acme_user.check_password("another long passphrase 8")
    entry = entry_of("user.password_changed")
    assert (entry.actor_id, entry.target_id) == ("change_password", str(acme_user.pk))
    assert "passphrase" not in str(entry.after)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["alice"], {("unknown", "10.0.0.1")}),
        (["unknown"], {("alice", "10.0.0.1"), ("alice", "10.0.0.2")}),
        (["--address", "10.0.0.1"], {("alice", "10.0.0.2")}),
        (["alice", "--address", "10.0.0.2"], {("alice", "10.0.0.1"), ("unknown", "10.0.0.1")}),
        (["--all"], set()),
    ],
)
def test_unlock_deletes_the_failures_in_question_and_is_audited(
    acme_user: User, words: list[str], left: set[tuple[str, str]]
) -> None:
    for name, address in (("alice", "10.0.0.1"), ("alice", "10.0.0.2"), ("unknown", "10.0.0.1")):
        AccessAttempt.objects.create(username=name, ip_address=address, failures_since_start=9)
    call_command("unlock_login", *words, "--reason", "called", stdout=io.StringIO())
    assert set(AccessAttempt.objects.values_list("username", "ip_address")) == left
    entry = entry_of("user.unlocked")
    assert (entry.actor_id, entry.reason, entry.after["forgotten"]) == ("unlock_login", "called", 3 - len(left))
    assert entry.target_id == (str(acme_user.pk) if "alice" in words else "")


@pytest.mark.parametrize("words", [[], ["alice", "--all"]])
def test_unlock_of_all_needs_its_option(words: list[str]) -> None:
    with pytest.raises(CommandError, match="--all"):
        call_command("unlock_login", *words)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("createsuperuser", "create_platform_admin"),
        ("changepassword", "change_password"),
        ("axes_reset", "unlock_login"),
        ("axes_reset_ip", "unlock_login"),
        ("axes_reset_username", "unlock_login"),
        ("axes_reset_ip_username", "unlock_login"),
    ],
)
def test_unaudited_command_names_its_audited_replacement(old: str, new: str) -> None:
    with pytest.raises(CommandError, match=new):
        call_command(old)
