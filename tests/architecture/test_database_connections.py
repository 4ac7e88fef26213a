"""All connections to PostgreSQL have the options, and few modules use the driver's own connection."""

from __future__ import annotations

import ast
import re

import pytest
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from jobsplatform.settings.env import BASE_DIR
from tenants.database.options import connection_options
from tests.syntax import nodes_of, parse

PACKAGES = ("jobsplatform", "scheduling", "tenants", "workloads", "tools")
# A statement on the driver's own connection bypasses the wrapper that begins a scope's transaction.
REACH_THE_DRIVER = {
    "scheduling/worker/heartbeat.py",  # its socket
    "tenants/database/prepared.py",
    "tenants/database/rls.py",  # composes statements
    "tenants/transactions.py",
}
OPTIONS = connection_options()


def bare_connections_in(tree: ast.Module) -> list[int]:
    """Return the lines that name the driver's `connect` without the options."""
    lines = []
    with_options = set()
    for node in nodes_of(tree):
        if isinstance(node, ast.Call) and any(
            keyword.arg is None and ast.unparse(keyword.value).startswith("connection_options(")
            for keyword in node.keywords
        ):
            with_options.add(node.func)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("psycopg"):
            lines += [node.lineno for alias in node.names if alias.name in {"connect", "Connection", "AsyncConnection"}]
    for node in nodes_of(tree):
        if isinstance(node, ast.Attribute) and node.attr == "connect" and node not in with_options:
            owner = ast.unparse(node.value)
            lines += [node.lineno] if owner.startswith("psycopg") else []
    return lines


def test_every_connection_is_opened_with_the_options() -> None:
    found = {
        str(path.relative_to(BASE_DIR)): lines
        for package in PACKAGES
        for path in sorted((BASE_DIR / package).rglob("*.py"))
        if (lines := bare_connections_in(parse(path.read_text())))
    }
    assert found == {}


def test_driver_connection_is_used_by_listed_modules_only() -> None:
    found = {
        str(path.relative_to(BASE_DIR))
        for package in PACKAGES
        for path in sorted((BASE_DIR / package).rglob("*.py"))
        if "migrations" not in path.parts and re.search(r"\bconnection\.connection\b", path.read_text())
    }
    assert found == REACH_THE_DRIVER


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("psycopg.connect(url)", [1]),
        ("psycopg.connect(url, connect_timeout=5)", [1]),
        ("psycopg.AsyncConnection.connect(url)", [1]),
        ("partial(psycopg.connect, url)", [1]),
        ("from psycopg import connect", [1]),
        ("psycopg.connect(url, **connection_options())", []),
        ("worker_ready.connect(begin)", []),
    ],
)
def test_connection_without_the_options_is_found(source: str, expected: list[int]) -> None:
    assert bare_connections_in(parse(source)) == expected


def test_each_alias_has_the_options() -> None:
    assert settings.DATABASES.keys() >= {"default"}
    for alias, database in settings.DATABASES.items():
        assert OPTIONS.items() <= database["OPTIONS"].items(), alias


def test_options_of_a_url_take_precedence() -> None:
    assert connection_options({"connect_timeout": 1, "sslmode": "require"}) == OPTIONS | {
        "connect_timeout": 1,
        "sslmode": "require",
    }


def test_libpq_accepts_each_option() -> None:
    assert conninfo_to_dict(make_conninfo("", **OPTIONS)) == {name: str(value) for name, value in OPTIONS.items()}


def test_documented_pooler_has_the_same_limits() -> None:
    text = (BASE_DIR / "docs" / "how-to" / "production.md").read_text()
    for line in (
        f"tcp_keepidle = {OPTIONS['keepalives_idle']}",
        f"tcp_keepintvl = {OPTIONS['keepalives_interval']}",
        f"tcp_keepcnt = {OPTIONS['keepalives_count']}",
        f"tcp_user_timeout = {OPTIONS['tcp_user_timeout']}",
    ):
        assert line in text
