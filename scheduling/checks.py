"""Start-up checks: plug-ins that cannot be loaded are found before the first job of their kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, register
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from scheduling.processors import registry


@register("scheduling")
def check_processors(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Every kind's class can be imported (scheduling.E001) and its payload schema is one (scheduling.E002)."""
    try:
        kinds = registry.kinds()
    except registry.ProcessorInvalidError as error:
        hint = "Fix the path in the app's `processors` or the entry point, or take the app out of INSTALLED_APPS."
        return [Error(str(error), hint=hint, id="scheduling.E001")]
    return [message for kind in kinds for message in _check_schema(kind)]


def _check_schema(kind: str) -> list[CheckMessage]:
    try:
        Draft202012Validator.check_schema(dict(registry.get(kind).payload_schema))
    except SchemaError as error:
        detail = f"The payload schema of {kind} is not valid: {error.message} (at {error.json_path})."
        return [Error(detail, hint="See https://json-schema.org/draft/2020-12.", id="scheduling.E002")]
    return []
