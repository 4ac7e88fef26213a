"""Roles, databases and extension, created once with an administrator's connection. Needs psycopg only, no Django.

owner     logs in, owns schema and tables, runs migrations, may create test databases
app       logs in, is bound by row-level security
platform  cannot log in; the cross-tenant role, reached by SET LOCAL ROLE from the two others
backup    logs in, reads everything that backups contain, and has no other right; optional
auditor   logs in, seals, signs and prunes the audit log, and has no other right; no other role can become it
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tenants.database.options import connection_options

MINIMUM_SERVER = 150000
_INHERIT_OPTION_SINCE = 160000
_TRANSACTION_TIMEOUT_SINCE = 170000

# An old snapshot slows every table of the hot path, so no transaction of the application may stay open.
_APP_TIMEOUTS = {
    "idle_in_transaction_session_timeout": "60s",
    "statement_timeout": "60s",
    "lock_timeout": "10s",
}
# A migration that waits long for a lock blocks all later requests for it.
_OWNER_TIMEOUTS = {"idle_in_transaction_session_timeout": "10min", "lock_timeout": "30s"}


class BootstrapError(RuntimeError):
    """Raised if the server cannot be prepared as requested."""


@dataclass(frozen=True, slots=True)
class LoginRole:
    """The name and password of a database role that can log in."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of the databases and roles to create."""

    database: str
    owner: LoginRole
    app: LoginRole
    auditor: LoginRole
    platform: str
    backup: LoginRole | None = None

    @property
    def template(self) -> str:
        """Return the name of the empty database, with the extension, from which the owner creates test databases."""
        return f"{self.database}_template"


def bootstrap_database(
    admin_url: str,
    *,
    database: str,
    owner: LoginRole,
    app: LoginRole,
    auditor: LoginRole,
    platform: str,
    backup: LoginRole | None = None,
) -> None:
    """Create the roles, the database, the template database and the extension, then verify the roles.

    It may be repeated. Raise `BootstrapError` if the server is too old or a role has more rights than it should.
    """
    layout = Layout(database=database, owner=owner, app=app, auditor=auditor, platform=platform, backup=backup)
    with psycopg.connect(admin_url, autocommit=True, **connection_options()) as connection:
        version = connection.info.server_version
        if version < MINIMUM_SERVER:
            raise BootstrapError(f"PostgreSQL 15 or newer is required; the server is {version // 10000}.")
        # Concurrent bootstraps would conflict in their CREATE statements.
        connection.execute("SELECT pg_advisory_lock(hashtextextended('bootstrap_database', 0))")
        for statement in role_statements(layout, version):
            connection.execute(statement)
        for role in filter(None, (owner, app, auditor, backup)):
            connection.execute(_set_password(connection, role))
        for name in (layout.database, layout.template):
            _ensure_database(connection, name, layout)
            own_url = make_conninfo(admin_url, dbname=name)
            with psycopg.connect(own_url, autocommit=True, **connection_options()) as inside:
                for statement in database_statements(layout, name):
                    inside.execute(statement)
        _verify_roles(connection, layout)


def role_statements(layout: Layout, server_version: int) -> Iterator[sql.Composed]:
    """Yield the SQL that creates the roles, grants the platform role and sets the time-outs; it sets no passwords."""
    owner, app, platform = (sql.Identifier(name) for name in (layout.owner.name, layout.app.name, layout.platform))
    for name, options in (
        (layout.owner.name, "LOGIN CREATEDB NOINHERIT NOCREATEROLE"),
        (layout.app.name, "LOGIN NOCREATEDB NOINHERIT NOCREATEROLE"),
        (layout.auditor.name, "LOGIN NOCREATEDB NOINHERIT NOCREATEROLE"),
        (layout.platform, "NOLOGIN NOCREATEDB NOINHERIT NOCREATEROLE"),
    ):
        yield _create_role_if_missing(name)
        # Only superusers may state NOSUPERUSER and NOBYPASSRLS, so the check at the end covers them.
        yield sql.SQL("ALTER ROLE {} {}").format(sql.Identifier(name), sql.SQL(options))
    options = " WITH INHERIT FALSE, SET TRUE" if server_version >= _INHERIT_OPTION_SINCE else ""
    yield sql.SQL("GRANT {} TO {}, {}" + options).format(platform, owner, app)
    if layout.backup is not None:
        # A dump that row security would restrict fails.
        reader = sql.Identifier(layout.backup.name)
        yield _create_role_if_missing(layout.backup.name)
        yield sql.SQL("ALTER ROLE {} LOGIN NOCREATEDB NOCREATEROLE INHERIT BYPASSRLS").format(reader)
        yield sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(reader)
        yield sql.SQL("GRANT pg_read_all_data TO {}").format(reader)
    # A managed server's administrator is no superuser and must be able to give databases to the owner.
    yield sql.SQL("GRANT {} TO CURRENT_USER").format(owner)
    app_timeouts = dict(_APP_TIMEOUTS)
    if server_version >= _TRANSACTION_TIMEOUT_SINCE:
        app_timeouts["transaction_timeout"] = "10min"
    auditor = sql.Identifier(layout.auditor.name)
    for role, timeouts in ((app, app_timeouts), (auditor, app_timeouts), (owner, _OWNER_TIMEOUTS)):
        for setting, value in timeouts.items():
            yield sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(setting), sql.Literal(value))


def database_statements(layout: Layout, database: str) -> Iterator[sql.Composed]:
    """Yield the SQL to run inside a database: its owner, the rights to connect and create, and the extension."""
    names = (layout.owner.name, layout.app.name, layout.auditor.name, layout.platform)
    owner, app, auditor, platform = map(sql.Identifier, names)
    name = sql.Identifier(database)
    yield sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, owner)
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name)
    yield sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(name, app, auditor)
    if layout.backup is not None:
        yield sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(layout.backup.name))
    yield sql.SQL("ALTER SCHEMA public OWNER TO {}").format(owner)
    yield sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC").format()
    yield sql.SQL("GRANT USAGE ON SCHEMA public TO {}, {}, {}").format(app, auditor, platform)
    yield sql.SQL("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public").format()


def printed_sql(layout: Layout, server_version: int) -> str:
    """Return all statements as a script for psql; the passwords are psql variables such as `owner_password`."""
    logins = {"owner": layout.owner, "app": layout.app, "auditor": layout.auditor, "backup": layout.backup}
    variables = " ".join(f"-v {kind}_password=…" for kind, role in logins.items() if role is not None)
    lines = [f"-- psql -v ON_ERROR_STOP=1 {variables} -f THIS_FILE ADMIN_URL"]
    lines += [f"{statement.as_string(None)};" for statement in role_statements(layout, server_version)]
    for kind, role in logins.items():
        if role is not None:
            lines.append(f"ALTER ROLE {sql.Identifier(role.name).as_string(None)} PASSWORD :'{kind}_password';")
    for database in (layout.database, layout.template):
        create = _create_database(database, layout).as_string(None)
        name, statement = sql.Literal(database).as_string(None), sql.Literal(create).as_string(None)
        lines.append(f"SELECT {statement} WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = {name}) \\gexec")  # noqa: S608 - both are quoted literals
        lines.append(f"\\connect {sql.Identifier(database).as_string(None)}")
        lines += [f"{statement.as_string(None)};" for statement in database_statements(layout, database)]
    return "\n".join(lines) + "\n"


def _create_role_if_missing(name: str) -> sql.Composed:
    return sql.SQL(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {literal}) THEN CREATE ROLE {name};"
        " END IF; END $$"
    ).format(literal=sql.Literal(name), name=sql.Identifier(name))


def _set_password(connection: psycopg.Connection, role: LoginRole) -> sql.Composed:
    # The verifier is computed here, so that the password never reaches a server's log.
    verifier = connection.pgconn.encrypt_password(role.password.encode(), role.name.encode(), b"scram-sha-256")
    return sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role.name), sql.Literal(verifier.decode()))


def _create_database(name: str, layout: Layout) -> sql.Composed:
    return sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
        sql.Identifier(name), sql.Identifier(layout.owner.name)
    )


def _ensure_database(connection: psycopg.Connection, name: str, layout: Layout) -> None:
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
        connection.execute(_create_database(name, layout))


def _verify_roles(connection: psycopg.Connection, layout: Layout) -> None:
    """Raise `BootstrapError` if a role has excess rights: an inherited platform role bypasses row security."""
    names = [layout.owner.name, layout.app.name, layout.auditor.name]
    rows = connection.execute(
        "SELECT rolname, rolsuper OR rolbypassrls, pg_has_role(oid, %(platform)s, 'USAGE'),"
        " pg_has_role(oid, %(platform)s, 'MEMBER'), pg_has_role(oid, %(auditor)s, 'MEMBER'),"
        " pg_has_role(%(auditor)s, oid, 'MEMBER') FROM pg_roles WHERE rolname = ANY (%(names)s)",
        {"platform": layout.platform, "auditor": layout.auditor.name, "names": names},
    ).fetchall()
    for name, is_privileged, inherits, is_member, is_auditor, auditor_is_member in rows:
        if is_privileged:
            raise BootstrapError(
                f"Role {name} is a superuser or has BYPASSRLS; choose another name or remove the attribute."
            )
        if name == layout.auditor.name:
            if is_member:
                raise BootstrapError(f"Role {name} must not be a member of {layout.platform}; revoke that grant.")
        elif is_auditor or auditor_is_member:
            raise BootstrapError(f"Role {name} and {layout.auditor.name} must not be members of each other.")
        elif inherits or not is_member:
            raise BootstrapError(
                f"Role {name} must be a member of {layout.platform} without inheriting it; revoke its other grants."
            )
