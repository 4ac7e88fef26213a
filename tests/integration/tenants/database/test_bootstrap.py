"""Bootstrap of a server: from nothing, repeated, and refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.utils import load_backend
from psycopg import sql
from psycopg.conninfo import make_conninfo

from jobsplatform.embedded.servers import running_servers
from tenants.checks import find_role_faults, refuse_privileged_role
from tenants.database.bootstrap import BootstrapError, LoginRole, bootstrap_database
from tenants.exceptions import PrivilegedRoleError

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Names:
    database: str
    owner: LoginRole
    app: LoginRole
    auditor: LoginRole
    platform: str
    backup: LoginRole


@pytest.fixture(scope="module")
def admin_url() -> Iterator[str]:
    """Return an administrator's connection to this module's own server."""
    with running_servers(redis_url="redis://127.0.0.1:9/0", is_fast=True) as servers:
        yield servers.admin_url


@pytest.fixture
def names() -> Names:
    suffix = uuid4().hex[:8]
    password = 'it\'s a \\ "password" %s'
    return Names(
        f"boot_{suffix}",
        *(LoginRole(f"{kind}_{suffix}", password) for kind in ("owner", "app", "auditor")),
        f"platform_{suffix}",
        LoginRole(f"backup_{suffix}", password),
    )


def bootstrap(admin_url: str, names: Names) -> None:
    bootstrap_database(
        admin_url,
        database=names.database,
        owner=names.owner,
        app=names.app,
        auditor=names.auditor,
        platform=names.platform,
    )


@contextmanager
def session(admin_url: str, database: str, role: LoginRole | None = None) -> Iterator[psycopg.Connection[Any]]:
    credentials = {"user": role.name, "password": role.password} if role else {}
    with psycopg.connect(make_conninfo(admin_url, dbname=database, **credentials), autocommit=True) as opened:
        yield opened


def facts(admin_url: str, names: Names) -> list[Any]:
    with session(admin_url, names.database) as admin:
        roles = admin.execute(
            "SELECT rolname, rolsuper, rolinherit, rolcreatedb, rolcanlogin, rolbypassrls, rolconfig FROM pg_roles"
            " WHERE rolname = ANY (%s) ORDER BY 1",
            [[names.owner.name, names.app.name, names.auditor.name, names.platform]],
        ).fetchall()
        members = admin.execute(
            "SELECT member::regrole::text, inherit_option, set_option FROM pg_auth_members"
            " WHERE roleid = %s::regrole ORDER BY 1",
            [names.platform],
        ).fetchall()
        databases = admin.execute(
            "SELECT datname, datdba::regrole::text, datacl::text FROM pg_database WHERE datname LIKE %s ORDER BY 1",
            [f"{names.database}%"],
        ).fetchall()
        schema = admin.execute(
            "SELECT nspowner::regrole::text, nspacl::text FROM pg_namespace WHERE nspname = 'public'"
        )
        return [roles, members, databases, schema.fetchall()]


def test_bootstrap_prepares_a_server_and_is_idempotent(admin_url, names):
    bootstrap(admin_url, names)
    before = facts(admin_url, names)
    roles, members, databases, _ = before
    assert [role[:6] for role in roles] == [
        (names.app.name, False, False, False, True, False),
        (names.auditor.name, False, False, False, True, False),
        (names.owner.name, False, False, True, True, False),
        (names.platform, False, False, False, False, False),
    ]
    assert any(setting.startswith("idle_in_transaction_session_timeout=") for setting in roles[0][6])
    assert members == [(names.app.name, False, True), (names.owner.name, False, True)]
    assert [row[0] for row in databases] == [names.database, f"{names.database}_template"]
    bootstrap(admin_url, names)
    assert facts(admin_url, names) == before


def test_roles_can_do_their_work_and_no_more(admin_url, names):
    bootstrap(admin_url, names)
    with session(admin_url, names.database, names.owner) as owner:
        owner.execute("CREATE TABLE t (v vector(3))")
        owner.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(f"{names.database}_clone"), sql.Identifier(f"{names.database}_template")
            )
        )
    with session(admin_url, names.database, names.app) as app:
        for refused in ("SELECT * FROM t", "CREATE TABLE mine (i int)", "CREATE TEMP TABLE mine (i int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(refused)
        with app.transaction():
            app.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(names.platform)))
            assert app.execute("SELECT current_user").fetchone() == (names.platform,)


def test_other_roles_cannot_connect(admin_url, names):
    bootstrap(admin_url, names)
    stranger = LoginRole(f"stranger_{uuid4().hex[:8]}", "x")
    with session(admin_url, "postgres") as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(stranger.name)))
    with (
        pytest.raises(psycopg.OperationalError, match="permission denied"),
        session(admin_url, names.database, stranger),
    ):
        pass


def test_new_password_replaces_the_old(admin_url, names):
    bootstrap(admin_url, names)
    changed = replace(names, app=LoginRole(names.app.name, "another"))
    bootstrap(admin_url, changed)
    with session(admin_url, names.database, changed.app) as app:
        assert app.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password"), session(admin_url, names.database, names.app):
        pass


def test_role_that_inherits_the_platform_role_is_refused(admin_url, names):
    bootstrap(admin_url, names)
    app, platform = sql.Identifier(names.app.name), sql.Identifier(names.platform)
    between = sql.Identifier(f"between_{names.database}")
    with session(admin_url, "postgres") as admin:
        admin.execute(sql.SQL("CREATE ROLE {}").format(between))
        admin.execute(sql.SQL("GRANT {} TO {} WITH INHERIT TRUE").format(platform, between))
        admin.execute(sql.SQL("GRANT {} TO {} WITH INHERIT TRUE").format(between, app))
    with pytest.raises(BootstrapError, match="without inheriting"):
        bootstrap(admin_url, names)


@pytest.mark.parametrize("kind", ["app", "platform", "auditor"])
def test_auditor_that_another_role_can_become_is_refused(admin_url, names, kind):
    bootstrap(admin_url, names)
    auditor, app = sql.Identifier(names.auditor.name), sql.Identifier(names.app.name)
    with session(admin_url, "postgres") as admin:
        grants = {
            "app": (auditor, app),
            "auditor": (app, auditor),
            "platform": (sql.Identifier(names.platform), auditor),
        }
        admin.execute(sql.SQL("GRANT {} TO {}").format(*grants[kind]))
    with pytest.raises(BootstrapError, match=r"members of each other|must not be a member"):
        bootstrap(admin_url, names)


def test_superuser_is_refused_as_the_applications_role(admin_url, names):
    bootstrap(admin_url, names)
    with session(admin_url, "postgres") as admin:
        admin.execute(sql.SQL("ALTER ROLE {} SUPERUSER").format(sql.Identifier(names.app.name)))
    with pytest.raises(BootstrapError, match="superuser"):
        bootstrap(admin_url, names)


def as_django_connection(url: str):
    """Return a Django connection of the application's alias that logs in by `url`."""
    parts = urlsplit(url)
    entry = {
        **connections["default"].settings_dict,
        "HOST": parts.hostname,
        "PORT": parts.port,
        "USER": parts.username,
        "PASSWORD": parts.password,
        "NAME": parts.path.lstrip("/"),
    }
    return load_backend(entry["ENGINE"]).DatabaseWrapper(entry, alias="default")


def test_superuser_log_in_is_refused_at_the_first_connection(admin_url):
    privileged = as_django_connection(admin_url)
    with pytest.raises(PrivilegedRoleError, match=r"is a superuser.*bootstrap_database"):
        privileged.ensure_connection()
    assert privileged.connection is None


def test_owner_log_in_is_refused_at_the_first_connection(django_db_setup):
    owner = as_django_connection(django_db_setup.urls()["DATABASE_OWNER_URL"])
    with pytest.raises(PrivilegedRoleError, match="owns tables"):
        owner.ensure_connection()


def test_restricted_role_passes_and_is_checked_once(django_assert_num_queries):
    assert find_role_faults(connection) == []
    refuse_privileged_role(None, connection)
    with django_assert_num_queries(0):
        refuse_privileged_role(None, connection)


@pytest.fixture
def named_in_settings(admin_url, names, monkeypatch, change_platform_settings) -> None:
    """Let the settings name the server and the roles; open connections are not changed."""
    parts = urlsplit(admin_url)
    entry = {**settings.DATABASES["default"], "HOST": parts.hostname, "PORT": parts.port, "NAME": names.database}
    databases = {
        "default": {**entry, "USER": names.app.name, "PASSWORD": names.app.password},
        "owner": {**entry, "USER": names.owner.name, "PASSWORD": names.owner.password},
        "auditor": {**entry, "USER": names.auditor.name, "PASSWORD": names.auditor.password},
    }
    monkeypatch.setattr(settings, "DATABASES", databases)
    backup = make_conninfo(user=names.backup.name, password=names.backup.password, dbname=names.database)
    change_platform_settings(
        DATABASE_PLATFORM_ROLE=names.platform, DATABASE_AUDITOR_ROLE=names.auditor.name, DATABASE_BACKUP_URL=backup
    )


@pytest.fixture
def no_owner(monkeypatch) -> None:
    monkeypatch.setattr(settings, "DATABASES", {"default": settings.DATABASES["default"]})


def test_command_prepares_what_the_settings_name(named_in_settings, admin_url, names, capsys):
    call_command("bootstrap_database", admin_url=admin_url)
    assert f"Database {names.database} is ready" in capsys.readouterr().out
    assert [row[0] for row in facts(admin_url, names)[2]] == [names.database, f"{names.database}_template"]


def test_command_needs_an_administrator(named_in_settings, admin_url):
    with pytest.raises(CommandError, match="--admin-url"):
        call_command("bootstrap_database")
    with pytest.raises(CommandError, match="password"):
        call_command("bootstrap_database", admin_url=admin_url.replace(urlsplit(admin_url).password, "wrong"))


def test_command_needs_the_auditors_login(named_in_settings, monkeypatch):
    databases = {alias: entry for alias, entry in settings.DATABASES.items() if alias != "auditor"}
    monkeypatch.setattr(settings, "DATABASES", databases)
    with pytest.raises(CommandError, match="DATABASE_AUDITOR_URL"):
        call_command("bootstrap_database", print_sql=True)


def test_commands_need_an_owner(no_owner):
    with pytest.raises(CommandError, match="DATABASE_OWNER_URL"):
        call_command("bootstrap_database", admin_url="postgres://127.0.0.1:9/x")
    with pytest.raises(CommandError, match="DATABASE_OWNER_URL"):
        call_command("migrate", skip_checks=True)


def test_printed_script_contains_every_statement_and_no_password(named_in_settings, names, capsys):
    call_command("bootstrap_database", print_sql=True)
    script = capsys.readouterr().out
    assert names.owner.password not in script
    for words in (
        f'ALTER ROLE "{names.app.name}" LOGIN NOCREATEDB NOINHERIT',
        f'GRANT "{names.platform}" TO "{names.owner.name}", "{names.app.name}"',
        "CREATE EXTENSION IF NOT EXISTS vector",
        "\\gexec",
        "PASSWORD :'app_password'",
        "PASSWORD :'auditor_password'",
        "PASSWORD :'backup_password'",
    ):
        assert words in script
