"""Access table: each route, for each role, on own and foreign rows, answers as tests/access/table.py states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction
from django.urls import reverse

from scheduling.models import Job
from tenants.context import all_tenants
from tests.access import routes, table
from tests.access.routes import API_PREFIX, Line, Page
from tests.integration.access.world import KEYS, PLATFORM, World
from tests.platform_settings import override_platform_settings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bare_refusals")]
HOLDERS = routes.holders()
CONSOLE_ROLES = [role for role in table.ROLES if role not in KEYS]
OK = "2xx"


def ask(
    client: Any, method: str, url: str, body: Any = None, *, form: dict[str, Any] | None = None, **headers: str
) -> Any:
    """Send one request; roll back its changes and drop its cookies."""
    cookies = copy(client.cookies)
    with transaction.atomic():
        options: dict[str, Any] = {"headers": headers}
        if body is not None:
            options |= {"data": body, "format": "json"}
        if form:
            options |= {"data": form}
        answer = getattr(client, method.lower())(url, **options)
        transaction.set_rollback(True)
    client.cookies = cookies
    return answer


def klass(status: int, *, wanted: int | str) -> int | str:
    """Return the status, or its class where the table states only the class."""
    return OK if wanted == OK and 200 <= status < 300 else status


def find_faults(asked: Iterator[tuple[str, int | str, Callable[[], Any]]]) -> dict[str, str]:
    faults = {}
    for name, wanted, send in asked:
        answer = send()
        if klass(answer.status_code, wanted=wanted) != wanted:
            faults[name] = f"{answer.status_code} in place of {wanted}: {answer.content[:150]!r}"
    return faults


def api_wants(role: str, line: Line) -> int | str:
    """Return the status that the API must answer for a row of the own tenant."""
    if line.right == "anyone":
        return line.status or OK
    if role == "anonymous":
        return 401
    return (line.status or OK) if role in HOLDERS[line.right] else 403


@pytest.mark.parametrize("role", table.ROLES)
def test_api_answers_for_own_rows_as_the_access_table_states(world: World, role: str) -> None:
    def asked() -> Iterator[tuple[str, int | str, Callable[[], Any]]]:
        for line in routes.lines(table.API):
            known = all(name in world.own for name in line.names)
            url = API_PREFIX + line.path.format_map(NamedRows(world.own))
            wanted = api_wants(role, line)
            wanted = wanted if known or wanted in (401, 403) else 404
            yield (
                f"{line.method} {line.path}",
                wanted,
                lambda line=line, url=url: ask(world.api[role], line.method, url, line.body),
            )

    assert find_faults(asked()) == {}


@pytest.mark.parametrize("role", table.ROLES)
def test_api_hides_foreign_rows(world: World, role: str) -> None:
    def asked() -> Iterator[tuple[str, int | str, Callable[[], Any]]]:
        for line in routes.lines(table.API):
            if not line.names:
                continue
            url = API_PREFIX + line.path.format_map(NamedRows(world.foreign))
            wanted = api_wants(role, line)
            wanted = wanted if wanted in (401, 403) else 404
            yield (
                f"{line.method} {line.path}",
                wanted,
                lambda line=line, url=url: ask(world.api[role], line.method, url, line.body),
            )

    assert find_faults(asked()) == {}


@pytest.mark.parametrize("role", [role for role in table.ROLES if role not in (*PLATFORM, "anonymous")])
def test_header_with_a_foreign_tenant_is_refused(world: World, role: str) -> None:
    for line in routes.lines(table.API):
        if line.right == "anyone":
            continue
        url = API_PREFIX + line.path.format_map(NamedRows(world.foreign))
        answer = ask(world.api[role], line.method, url, line.body, **{"X-Tenant": "globex"})
        assert answer.status_code in (403, 404), line


@pytest.mark.parametrize("role", PLATFORM)
def test_platform_roles_over_all_tenants_get_what_the_table_states(world: World, role: str) -> None:
    client = world.api[role]
    client.credentials()  # without X-Tenant

    def asked() -> Iterator[tuple[str, int | str, Callable[[], Any]]]:
        for line in routes.lines(table.OVER_ALL_TENANTS):
            url = API_PREFIX + line.path.format_map(NamedRows(world.own))
            yield line.path, api_wants(role, line), lambda line=line, url=url: ask(client, line.method, url, line.body)

    assert find_faults(asked()) == {}


def console_wants(role: str, right: str | None, wanted: int | str = "passes") -> int | str:
    """Return what the console must answer: the log-in page, a refusal, or the result of the right."""
    if right == "anyone":
        return wanted
    if role in {"anonymous", "outsider"}:
        return "log-in"
    if right == "console":
        return wanted
    return wanted if right is not None and role in HOLDERS[right] else 403


def console_result(answer: Any, wanted: int | str) -> int | str:
    """Return the console's answer in the terms of `console_wants`."""
    if answer.status_code == 302 and "/admin/login/" in answer.url:
        return "log-in"
    if wanted == "passes" and answer.status_code in (200, 302):
        return "passes"
    return int(answer.status_code)


def page_requests(page: Page, key: Any) -> Iterator[tuple[str, str, str | None]]:
    """Yield method, URL and right of every page of a model for one row."""
    name = "admin:" + page.label.replace(".", "_")
    yield "GET", reverse(f"{name}_changelist"), page.view
    yield "POST", reverse(f"{name}_changelist"), page.view
    yield "GET", reverse(f"{name}_add"), page.add
    yield "POST", reverse(f"{name}_add"), page.add
    yield "GET", f"{reverse(f'{name}_changelist')}{key}/", "console"  # redirected to the row's page
    for method in ("GET", "POST"):
        yield method, reverse(f"{name}_delete", args=[key]), None
        yield method, reverse(f"{name}_history", args=[key]), None
    yield from row_requests(page, key)


def row_requests(page: Page, key: Any) -> Iterator[tuple[str, str, str | None]]:
    name = "admin:" + page.label.replace(".", "_")
    yield "GET", reverse(f"{name}_change", args=[key]), page.view
    if page.label != "scheduling.job":  # a page without a form: 405 with the right to see it
        yield "POST", reverse(f"{name}_change", args=[key]), page.change
    for act, right in page.acts.items():
        yield "POST", reverse(f"{name}_act", args=[key, act]), right


def has_row(label: str, key: Any) -> bool:
    with all_tenants():
        return bool(apps.get_model(label)._base_manager.filter(pk=key).exists())


@pytest.mark.parametrize("role", CONSOLE_ROLES)
def test_console_answers_for_own_rows_as_the_access_table_states(world: World, role: str) -> None:
    faults = {}
    for page in routes.pages():
        key = world.own_rows[page.label]
        exists = has_row(page.label, key)
        for method, url, right in page_requests(page, key):
            wanted = console_wants(role, right)
            if wanted == "passes" and not exists and str(key) in url and right != "console":
                wanted = 404
            answer = ask(world.console[role], method, url)
            if console_result(answer, wanted) != wanted:
                faults[f"{method} {url}"] = f"{answer.status_code} in place of {wanted}"
    assert faults == {}


@pytest.mark.parametrize("role", ["viewer", "developer", "owner", "outsider"])
def test_console_hides_foreign_rows(world: World, role: str) -> None:
    faults = {}
    for page in routes.pages():
        key = world.foreign_rows[page.label]
        if key == world.own_rows[page.label]:
            continue
        for method, url, right in row_requests(page, key):
            wanted = console_wants(role, right, 404)
            answer = ask(world.console[role], method, url)
            if console_result(answer, wanted) != wanted:
                faults[f"{method} {url}"] = f"{answer.status_code} in place of {wanted}"
    assert faults == {}


@pytest.mark.parametrize("role", table.ROLES)
def test_plain_routes_answer_as_the_access_table_states(world: World, role: str) -> None:
    client = (world.api if role in KEYS else world.console)[role]
    with override_platform_settings(METRICS_TOKEN="an unused token"):
        for line in routes.lines(table.PLAIN):
            answer = ask(client, line.method, line.path)
            wanted = line.status or OK
            assert klass(answer.status_code, wanted=wanted) == wanted, line


def test_ask_helper_rolls_back_the_changes_of_its_request(world: World) -> None:
    def count() -> int:
        with all_tenants():
            return Job.objects.count()

    before = count()
    assert ask(world.api["owner"], "POST", f"{API_PREFIX}jobs/", {"kind": "noop"}).status_code == 201
    assert count() == before


class NamedRows(dict[str, Any]):
    """Ids by the names of the table; an unknown name is the id of no row."""

    def __missing__(self, name: str) -> str:
        return "1" if name == "n" else routes.SAMPLE_ID
