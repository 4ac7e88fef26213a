"""Audit coverage: every act of a person, a key or a command leaves exactly the entry of `tests/audit_table.py`."""

from __future__ import annotations

import getpass
import io
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command, get_commands
from django.db import transaction
from django.test import override_settings
from django.urls import reverse

from jobsplatform.settings.env import BASE_DIR
from scheduling.dispatch import leadership
from tenants.access.permissions import DEVELOPER_KEY_SCOPES, TENANT_ROLES
from tenants.context import all_tenants
from tenants.database.ids import uuid7
from tenants.models import ApiKey, AuditLogEntry, Tenant
from tests import audit_table as expected
from tests.access import routes
from tests.access import table as access
from tests.access.routes import API_PREFIX, CONSOLE_PREFIX, Line, Page
from tests.integration.access.test_table import NamedRows
from tests.integration.access.world import MASTER_KEY, World, make_world
from tests.integration.tenants.audit import audited_actions
from tests.platform_settings import override_platform_settings
from workloads.model_endpoints import probe

pytestmark = pytest.mark.django_db
REQUEST_ID = "coverage-1"
MUTATING = ("POST", "PUT", "PATCH", "DELETE")
WHERE = "tests/audit_table.py"
# Acts that change no field: a switch without a former value, a read, a request.
TICKED_REASON = "x"
WITHOUT_VALUES = {
    "kind.paused",
    "kind.resumed",
    "job.payload_revealed",
    "workflow_run.revealed",
    "upkeep.requested",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One line of the table."""

    address: str
    action: str
    target_type: str

    @property
    def tenant(self) -> str | None:
        """Return the slug of the tenant that the entry is about; None for the platform's own chain."""
        if self.target_type in expected.OF_PLATFORM:
            return None
        return expected.ELSEWHERE.get(self.address, "acme")


def read(text: str, words: int) -> dict[str, Wanted]:
    """Return the lines of a table by their address, which is the first words of each."""
    found = {}
    for row in text.strip().splitlines():
        *address, action, target_type = row.split()
        assert len(address) == words, row
        wanted = Wanted(" ".join(address), action, target_type)
        assert wanted.address not in found, f"twice: {row}"
        found[wanted.address] = wanted
    return found


API = read(expected.API, 2)
PAGES = read(expected.PAGES, 2)
ACTIONS = read(expected.ACTIONS, 2)
CONSOLE = read(expected.CONSOLE, 2)
COMMANDS = read(expected.COMMANDS, 1)


@pytest.fixture(autouse=True)
def _no_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the timeout of locks: a test holds them for its whole transaction."""
    monkeypatch.setattr(leadership, "TICK_IDLE_TIMEOUT_MS", 60_000)


@pytest.fixture(autouse=True)
def _answering_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test of a model be answered, with one token each way."""
    monkeypatch.setattr(probe, "_ask", lambda model, use: ("OK", 1, 1))


@pytest.fixture
def world(db: None, tmp_path: Path) -> Iterator[World]:
    values = {"ENCRYPTION_MASTER_KEYS": [MASTER_KEY], "ARCHIVE": str(tmp_path)}
    (tmp_path / "pack.zip").write_bytes(b"pack")
    with override_settings(MEDIA_ROOT=tmp_path), override_platform_settings(**values):
        yield make_world()


def entries_since(marker: Any) -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(id__gt=marker).order_by("id"))


def fault_of(
    wanted: Wanted, entries: list[AuditLogEntry], actor: tuple[str, str], answer: Any, reason: str = ""
) -> str:
    """Return what is wrong with the entries of one act with this reason; an empty text if nothing is."""
    actions, found = wanted.action.split("+"), [entry.action for entry in entries]
    if found != actions:
        return f"{actions} is wanted, there are {found}; {getattr(answer, 'status_code', answer)}"
    return next(filter(None, (fault_of_entry(wanted, entry, actor, reason) for entry in entries)), "")


def fault_of_entry(wanted: Wanted, entry: AuditLogEntry, actor: tuple[str, str], reason: str) -> str:
    """Return what is wrong with one entry whose action is right."""
    seen = (entry.target_type, entry.actor_kind, entry.actor_label)
    if seen != (wanted.target_type, *actor):
        return f"{seen} in place of {(wanted.target_type, *actor)}"
    if entry.tenant_id != (wanted_id := _tenant_id(wanted, entry)):
        return f"it is an entry of {entry.tenant_id} in place of {wanted_id or 'the platform'}"
    if reason and entry.reason != reason:
        return f"the reason is {entry.reason!r} in place of {reason!r}"
    is_command = actor[0] == "command"
    if not entry.request_id or (not is_command and entry.request_id != REQUEST_ID):
        return f"the request's id is {entry.request_id!r}"
    if wanted.action not in WITHOUT_VALUES and not (entry.before or entry.after):
        return "it says neither what was nor what is"
    if entry.before and entry.after and entry.before == entry.after:
        return "before and after are the same"
    return ""


def _tenant_id(wanted: Wanted, entry: AuditLogEntry) -> UUID | None:
    if entry.action == "tenant.created":
        return UUID(entry.target_id)
    if wanted.tenant is None:
        return None
    with all_tenants():
        return Tenant.objects.get(slug=wanted.tenant).pk


def perform(world: World, address: str, act: Callable[[Any], Any]) -> tuple[list[AuditLogEntry], Any]:
    """Prepare, act, read the entries, and roll everything back."""
    with transaction.atomic():
        prepared = audited_actions.PREPARE.get(address, lambda world: None)(world)
        send = act(prepared)
        marker = uuid7()
        answer = send()
        found = entries_since(marker)
        transaction.set_rollback(True)
    return found, answer


def test_every_api_act_leaves_its_entry(world: World) -> None:
    faults = {}
    for line in routes.lines(access.API):
        address = f"{line.method} {line.path}"
        if line.method not in MUTATING or address in expected.NO_ACTS:
            continue
        if address not in API:
            faults[address] = f"add to API in {WHERE}: “{address} <action> <target type>”"
            continue
        found, answer = perform(world, address, lambda key, line=line: _api_request(world, line, key))
        reason = (_body_of(world, line) or {}).get("reason", "")
        if fault := fault_of(API[address], found, ("user", "admin"), answer, reason):
            faults[address] = fault
    assert faults == {}


@pytest.mark.parametrize(("role", "kind"), [("owner", "user"), ("key", "api_key")])
def test_api_acts_of_members_and_keys_are_in_their_tenants_chain(world: World, role: str, kind: str) -> None:
    granted = TENANT_ROLES["owner"] if role == "owner" else DEVELOPER_KEY_SCOPES
    with all_tenants():
        label = role if role == "owner" else f"key ({ApiKey.objects.get(name='key').prefix})"
    lines = [line for line in routes.lines(access.API) if f"{line.method} {line.path}" in API and line.right in granted]
    assert len(lines) > 15
    faults = {}
    for line in lines:
        address = f"{line.method} {line.path}"
        found, answer = perform(world, address, lambda key, line=line: _api_request(world, line, key, role))
        reason = (_body_of(world, line) or {}).get("reason", "")
        if fault := fault_of(API[address], found, (kind, label), answer, reason):
            faults[address] = fault
    assert faults == {}


def _body_of(world: World, line: Line) -> Any:
    body = audited_actions.BODIES.get(f"{line.method} {line.path}", line.body)
    return body(world) if callable(body) else body


def _api_request(world: World, line: Line, key: Any, role: str = "admin") -> Callable[[], Any]:
    rows = NamedRows(world.own)
    if key is not None and line.names:
        rows[line.names[0]] = key
    address = f"{line.method} {line.path}"
    options: dict[str, Any] = {"data": _body_of(world, line), "format": "json"}
    if address in audited_actions.MULTIPART:
        options = {"data": audited_actions.MULTIPART[address](), "format": "multipart"}
    send = getattr(world.api[role], line.method.lower())
    url = API_PREFIX + line.path.format_map(rows)
    return lambda: send(url, headers={"X-Request-ID": REQUEST_ID}, **options)


def test_every_act_of_every_page_leaves_its_entry(world: World) -> None:
    faults = {}
    for page in routes.pages():
        for what in _acts_of(page):
            address = f"{page.label} {what}"
            if address in expected.NO_ACTS:
                continue
            if address not in PAGES:
                faults[address] = f"add to PAGES in {WHERE}: “{address} <action> <target type>”"
                continue
            found, answer = perform(
                world, address, lambda key, page=page, what=what: _page_request(world, page, what, key)
            )
            if fault := fault_of(PAGES[address], found, ("user", "admin"), answer, _page_reason(world, page, what)):
                faults[address] = f"{fault} {audited_actions.form_faults(answer)}"
            if answer.streaming:
                # A download holds its file until it has been sent.
                b"".join(answer.streaming_content)
    assert faults == {}


def _acts_of(page: Page) -> list[str]:
    forms = [name for name, right in (("add", page.add), ("change", page.change)) if right is not None]
    return [*forms, *page.acts]


def _page_reason(world: World, page: Page, what: str) -> str:
    """Return the reason that the form of an act requires and gets."""
    if what in page.acts:
        model = apps.get_model(page.label)
        return (
            audited_actions.ACT_FORM["reason"]
            if getattr(admin.site._registry[model], what).post_action.asks_reason
            else ""
        )
    typed = audited_actions.FORMS[f"{page.label} {what}"](world)
    return "" if page.label == "scheduling.kindpause" else str(typed.get("reason", ""))


def _page_request(world: World, page: Page, what: str, key: Any) -> Callable[[], Any]:
    client, name = world.console["admin"], "admin:" + page.label.replace(".", "_")
    row = world.own_rows[page.label] if key is None else key
    headers = {"X-Request-ID": REQUEST_ID}
    if what in page.acts:
        dialog = audited_actions.ACT_FORM | audited_actions.ACT_FORMS.get(f"{page.label} {what}", {})
        return lambda: client.post(reverse(f"{name}_act", args=[row, what]), dialog, headers=headers)
    url = reverse(f"{name}_add") if what == "add" else reverse(f"{name}_change", args=[row])
    typed = audited_actions.FORMS[f"{page.label} {what}"](world)
    data = {**audited_actions.offered_by(client.get(url + audited_actions.FORM_QUERIES.get(page.label, ""))), **typed}
    return lambda: client.post(url, data, headers=headers)


def test_every_other_console_act_leaves_its_entry(world: World) -> None:
    faults = {}
    for address, wanted in CONSOLE.items():
        actor = audited_actions.ACTORS.get(address, ("user", "admin"))
        found, answer = perform(world, address, lambda _, address=address: audited_actions.CONSOLE[address](world))
        if fault := fault_of(wanted, found, actor, answer):
            faults[address] = fault
    assert faults == {}


def test_every_other_console_route_that_accepts_post_is_in_the_table() -> None:
    known = {routes.route_of(CONSOLE_PREFIX, address.split()[1].split("?")[0]) for address in CONSOLE}
    known |= {routes.route_of(CONSOLE_PREFIX, path) for path in audited_actions.CONSOLE_READS}
    known |= {
        routes.route_of(CONSOLE_PREFIX, address.removeprefix("POST "))
        for address in expected.NO_ACTS
        if address.startswith("POST tenants/tenant/")
    }
    missing = [routes.readable(route, CONSOLE_PREFIX) for route in routes.console_routes() if route not in known]
    assert missing == [], f"Add to CONSOLE in {WHERE}, or to CONSOLE_READS in acts.py if nothing can be posted there."


def test_every_act_on_ticked_rows_leaves_its_entry(world: World) -> None:
    faults = {}
    for address in sorted(_ticked_acts()):
        if address not in ACTIONS or address not in audited_actions.TICKED:
            faults[address] = f"add to ACTIONS in {WHERE}: “{address} <action> <target type>”, and its row to acts.py"
            continue
        found, answer = perform(world, address, lambda _, address=address: _tick(world, address))
        if fault := fault_of(ACTIONS[address], found, ("user", "admin"), answer, TICKED_REASON):
            faults[address] = fault
    assert faults == {}
    assert set(ACTIONS) == _ticked_acts()


def _ticked_acts() -> set[str]:
    pages = admin.site._registry.items()
    return {f"{model._meta.label_lower} {name}" for model, page in pages for name in page.actions or ()}


def _tick(world: World, address: str) -> Callable[[], Any]:
    label, name = address.split()
    url = reverse(f"admin:{label.replace('.', '_')}_changelist")
    data = {
        "action": name,
        "_selected_action": [str(world.own[audited_actions.TICKED[address]])],
        "reason": TICKED_REASON,
    }
    return lambda: world.console["admin"].post(url, data, headers={"X-Request-ID": REQUEST_ID})


def test_every_command_leaves_its_entry_or_states_why_not(world: World) -> None:
    account = f"{getpass.getuser()}@{socket.gethostname()}"
    faults = {}
    for name in sorted(_own_commands()):
        if name in expected.NO_ACTS:
            continue
        if name not in COMMANDS:
            faults[name] = (
                f"add to COMMANDS in {WHERE}: “{name} <action> <target type>”, and how it is typed to acts.py"
            )
            continue
        found, answer = perform(world, name, lambda _, name=name: _typed(world, name))
        words = audited_actions.COMMANDS[name](world) if name != "index_documents" else []
        reason = words[words.index("--reason") + 1] if "--reason" in words else ""
        if fault := fault_of(COMMANDS[name], found, ("command", account), answer, reason):
            faults[name] = fault
        elif found[0].actor_id != name:
            faults[name] = f"the actor's id is {found[0].actor_id!r}"
    assert faults == {}


def _own_commands() -> set[str]:
    files = [
        path
        for app in ("scheduling", "tenants", "workloads")
        for path in (BASE_DIR / app).rglob("management/commands/*.py")
    ]
    return {path.stem for path in files if path.stem != "__init__"}


def _typed(world: World, name: str) -> Callable[[], Any]:
    words = audited_actions.COMMANDS[name](world)

    def type_it() -> Any:
        with mock.patch("sys.stdin", io.StringIO(f"{audited_actions.PASSWORD}\n")):
            return call_command(name, *words, stdout=io.StringIO(), stderr=io.StringIO())

    return type_it


def test_table_contains_only_existing_acts() -> None:
    addresses = {f"{line.method} {line.path}" for line in routes.lines(access.API)}
    of_pages = {f"{page.label} {what}" for page in routes.pages() for what in _acts_of(page)}
    assert set(API) <= addresses
    assert set(PAGES) <= of_pages
    assert set(COMMANDS) <= _own_commands() <= set(get_commands())
    assert [name for name, reason in expected.NO_ACTS.items() if len(reason) < 5] == []
