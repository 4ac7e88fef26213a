"""Start-up checks of scheduling: broken plug-ins, queues without consumers, clock skew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's own name
from django.db import DatabaseError

from scheduling.conf import PROCESSOR_INVALID, SCHEMA_INVALID
from scheduling.kit import registry
from tenants.checks import START, is_database_at_hand
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings

# Every process registers the checks, and few run them: each imports what it needs when it runs.
if TYPE_CHECKING:
    from scheduling.diagnosis.service import Check


# More delays the first message beyond 30 s after the fault.
MOST_EVALUATION_SECONDS = 10


@register("scheduling", START)
def check_processors(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Check that each kind's class can be imported (scheduling.E001) and that its schema is valid (scheduling.E002)."""
    try:
        kinds = registry.kinds()
    except registry.ProcessorInvalidError as error:
        hint = "Fix the path in the app's `processors` or in the entry point, or remove the app from INSTALLED_APPS."
        return [Error(str(error), hint=hint, id=PROCESSOR_INVALID)]
    return [message for kind in kinds for message in _check_schema(kind)]


@register("scheduling")
def check_outgoing_http(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Check that every host of OUTGOING_HTTP_ALLOWED_HOSTS is written as host:port (scheduling.E003)."""
    from scheduling.kit.http.policy import AllowedHostInvalidError, current_policy

    try:
        current_policy()
    except AllowedHostInvalidError as error:
        hint = "Write OUTGOING_HTTP_ALLOWED_HOSTS as host:port, comma-separated; see docs/reference/outgoing_http.md."
        return [Error(str(error), hint=hint, id="scheduling.E003")]
    return []


@register("scheduling", START)
def check_alert_evaluation(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Check that alert rules are evaluated often enough to notify within 30 s (scheduling.W003)."""
    seconds = platform_settings.ALERT_EVALUATION_SECONDS
    if seconds <= MOST_EVALUATION_SECONDS:
        return []
    text = f"Alert rules are evaluated every {seconds:g} s, so contacts may be notified later than 30 s after a fault."
    hint = f"Set ALERT_EVALUATION_SECONDS to {MOST_EVALUATION_SECONDS} or less; its default is 5."
    return [Warning(text, hint=hint, id="scheduling.W003")]


@register(Tags.security, deploy=True)
def check_heartbeat_url(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Warn if no external service monitors the platform as a whole (`manage.py check --deploy`)."""
    if platform_settings.ALERT_HEARTBEAT_URL:
        return []
    hint = "Set ALERT_HEARTBEAT_URL to a check of a service outside; see docs/how-to/alert_messages.md."
    return [Warning("No alert is sent if all dispatchers or PostgreSQL are down.", hint=hint, id="scheduling.W004")]


def _check_schema(kind: str) -> list[CheckMessage]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    schema = dict(registry.get(kind).payload_schema)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        fault = f"{error.message} (at {error.json_path})"
    except (OverflowError, RecursionError) as error:
        fault = f"a pattern cannot be compiled ({error})"
    else:
        # Compiling a pattern of a payload can raise errors that jsonschema does not expect, and has no limit of cost.
        if not _uses_format_regex(schema):
            return []
        fault = "the format regex is not allowed"
    detail = f"The payload schema of {kind} is not valid: {fault}."
    return [Error(detail, hint="See https://json-schema.org/draft/2020-12.", id=SCHEMA_INVALID)]


def _uses_format_regex(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        return schema.get("format") == "regex" or any(map(_uses_format_regex, schema.values()))
    return isinstance(schema, list | tuple) and any(map(_uses_format_regex, schema))


@register(Tags.database)
def check_queue_consumers(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that a live worker consumes every queue in use (scheduling.W001)."""
    from scheduling.diagnosis.service import check_consumers

    return _ask(databases, lambda: [check_consumers()], check_id="scheduling.W001")


@register(Tags.database)
def check_clocks(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that the clocks of this and other processes agree with the database's (scheduling.W002)."""
    return _ask(databases, lambda: [_check_own_clock(), _check_other_clocks()], check_id="scheduling.W002")


def _ask(databases: Sequence[str] | None, question: Callable[[], list[Check]], *, check_id: str) -> list[CheckMessage]:
    """Return the failed checks as warnings. They are not errors, because a restart would not repair them."""
    from scheduling.diagnosis.service import Health

    if not is_database_at_hand(databases):
        return []
    try:
        with all_tenants():
            checks = question()
    except DatabaseError:
        return []  # the tables do not exist yet, which is an error of its own
    return [
        Warning(f"{check.name}: {check.measured}.", hint=check.hint, id=check_id)
        for check in checks
        if check.state is not Health.OK
    ]


def _check_own_clock() -> Check:
    from scheduling.diagnosis.service import check_clock
    from scheduling.fleet.processes import measure_clock_skew

    return replace(check_clock(measure_clock_skew()), name="this machine's clock")


def _check_other_clocks() -> Check:
    from scheduling.diagnosis.service import check_clock
    from scheduling.fleet.queries import read_liveness

    return replace(check_clock(read_liveness().worst_skew_seconds), name="clocks of the running processes")
