"""System checks at start: the database accepts the login, row-level security applies to it, the tables are current."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext
from psycopg.rows import namedtuple_row

from tenants.audit.signing import is_signing_key_given, known_public_keys
from tenants.database.conf import APP_ALIAS, auditor_role, platform_role
from tenants.database.pending_migrations import count_pending_migrations
from tenants.database.platform_settings import NAME as JOBS_PLATFORM
from tenants.database.platform_settings import find_faults, find_unknown, platform_settings
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql
from tenants.encryption.envelope import MasterKeysInvalidError
from tenants.encryption.master_keys import MasterKeys
from tenants.exceptions import PrivilegedRoleError

# The tag of program checks that every process runs before it serves, besides those of the servers.
START = "start"
_KEYS = "docs/reference/configuration.md lists the keys with their types."
# A separate id, because the database may return by itself.
DATABASE_AWAY = "tenants.E004"
_CURE = (
    "Create the roles with `manage.py bootstrap_database --admin-url URL` and log in as the application's role; "
    "DATABASE_OWNER_URL is for migrations only."
)
_LOGIN_ROLE = load_sql(__file__)["read_login_role"]
# Login roles already checked, by the connection's parameters: checked once a process, not once a connection.
_verified: set[tuple[str, ...]] = set()


def find_role_faults(connection: BaseDatabaseWrapper) -> list[str]:
    """Return what is wrong with the connection's database role, one sentence each.

    The list is empty if row-level security binds the role.
    """
    platform = platform_role()
    with planned_cursor(namedtuple_row, connection=connection) as cursor:
        cursor.execute(_LOGIN_ROLE, {"platform": platform, "auditor": auditor_role()})
        role = cursor.fetchone()
    assert role is not None  # the session's own role exists
    name = role.name
    faults = []
    if role.is_super:
        faults.append(gettext("The database role %(name)r is a superuser.") % {"name": name})
    if role.bypasses:
        faults.append(gettext("The database role %(name)r has BYPASSRLS.") % {"name": name})
    if role.owns_tables and not role.is_super:
        faults.append(gettext("The database role %(name)r owns tables.") % {"name": name})
    if role.is_auditor and not role.is_super:
        faults.append(
            gettext("The database role %(name)r can become the auditor %(role)r.")
            % {"name": name, "role": auditor_role()}
        )
    if role.platform_missing:
        faults.append(gettext("The platform role %(platform)r does not exist.") % {"platform": platform})
    elif role.inherits_door and not role.is_super:
        faults.append(
            gettext(
                "The database role %(name)r inherits the platform role %(platform)r, which bypasses row-level security."
            )
            % {"name": name, "platform": platform}
        )
    elif not role.has_door and name != auditor_role():
        faults.append(
            gettext("The database role %(name)r is not a member of the platform role %(platform)r.")
            % {"name": name, "platform": platform}
        )
    return faults


def refuse_privileged_role(sender: Any, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Close a new connection whose database role is privileged, and raise `PrivilegedRoleError`.

    It is a receiver of `connection_created`, so it protects every way into the code.
    """
    if connection.alias != APP_ALIAS:
        return
    parameters = tuple(str(connection.settings_dict[key]) for key in ("HOST", "PORT", "USER", "NAME"))
    if parameters in _verified:
        return
    faults = find_role_faults(connection)
    if faults:
        connection.close()
        raise PrivilegedRoleError(" ".join([*faults, _CURE]))
    _verified.add(parameters)


def is_database_at_hand(databases: Sequence[str] | None) -> bool:
    """Return whether a check may use the database: it was asked to, and a connection succeeds.

    If the connection fails, `check_login_role` reports the reason.
    """
    return APP_ALIAS in (databases or ()) and not connection_fault()


@checks.register(checks.Tags.database)
def check_login_role(databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report why the application cannot connect to the database (`manage.py check --database default`)."""
    return connection_fault() if APP_ALIAS in (databases or ()) else []


@checks.register(checks.Tags.database)
def check_migrations(databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report migrations that are not applied."""
    if not is_database_at_hand(databases):
        return []
    pending = count_pending_migrations()
    if not pending:
        return []
    hint = "Run `manage.py migrate`, then start again."
    return [checks.Error(f"{pending} migrations are not applied.", hint=hint, id="tenants.E005")]


def connection_fault() -> list[checks.CheckMessage]:
    """Connect to the database, and return the check errors if that fails; an empty list if it succeeds."""
    try:
        connections[APP_ALIAS].ensure_connection()
    except PrivilegedRoleError as error:
        return [checks.Error(str(error), id="tenants.E001")]
    except DatabaseError as error:
        return [unreachable_error(error)]
    return []


def unreachable_error(error: DatabaseError) -> checks.CheckMessage:
    """Return the check error for a database that cannot be reached."""
    return checks.Error(f"No connection to the database: {error}", hint="Check DATABASE_URL.", id=DATABASE_AWAY)


@checks.register(checks.Tags.security, deploy=True)
def check_audit_key(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report if the audit log is not signed and verified with configured keys (`manage.py check --deploy`)."""
    try:
        known_public_keys()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="docs/concepts/audit.md explains how to create keys.", id="tenants.E003")]
    if is_signing_key_given() or platform_settings.AUDIT_PUBLIC_KEYS:
        return []
    return [
        checks.Error(
            "The audit log's heads are signed with a key derived from SECRET_KEY, which every process has.",
            hint="Set AUDIT_SIGNING_KEY for run_auditor, and AUDIT_PUBLIC_KEYS for all other processes.",
            id="tenants.E002",
        )
    ]


@checks.register(START)
def check_master_keys(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report an invalid key in ENCRYPTION_MASTER_KEYS, with which the process could neither encrypt nor decrypt."""
    try:
        MasterKeys(platform_settings.ENCRYPTION_MASTER_KEYS)
    except MasterKeysInvalidError as error:
        return [
            checks.Error(str(error), hint="docs/how-to/encryption.md explains how to create keys.", id="tenants.E006")
        ]
    return []


@checks.register(START)
def check_platform_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report each key of JOBS_PLATFORM that no app declares, and each value of a wrong type or out of bounds."""
    values = getattr(settings, JOBS_PLATFORM, {})
    if not isinstance(values, Mapping):
        return [checks.Error(f"{JOBS_PLATFORM} is not a dict.", id="tenants.E009")]
    return [
        *(checks.Error(message, hint=_KEYS, id="tenants.E008") for message in find_unknown(values)),
        *(checks.Error(message, hint=_KEYS, id="tenants.E009") for message in find_faults(values)),
    ]


@checks.register(START)
def check_key_days(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report if the default lifetime of API keys is greater than the maximum."""
    if platform_settings.API_KEY_DEFAULT_DAYS <= platform_settings.API_KEY_MAX_DAYS:
        return []
    hint = "Lower API_KEY_DEFAULT_DAYS or raise API_KEY_MAX_DAYS."
    return [checks.Error("API_KEY_DEFAULT_DAYS is greater than API_KEY_MAX_DAYS.", hint=hint, id="tenants.E007")]


@checks.register(checks.Tags.security, deploy=True)
def check_sealing(**kwargs: Any) -> list[checks.CheckMessage]:
    """Warn if payloads, results and checkpoints are stored unencrypted (`manage.py check --deploy`)."""
    if platform_settings.ENCRYPTION_MASTER_KEYS:
        return []
    return [
        checks.Warning(
            "Payloads, results and checkpoints are stored unencrypted.",
            hint="Set ENCRYPTION_MASTER_KEYS (docs/how-to/encryption.md) if the disk and its backups are not "
            "encrypted.",
            id="tenants.W001",
        )
    ]
