"""The config of `llm` nodes, and checks of it that no JSON Schema can express. The code is pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tenants.translation import translate
from workloads.model_endpoints.answer_schema import SchemaRefusedError, check_answer_schema
from workloads.workflows.definition.config_parts import NAME, TEMPLATE

MAX_EXTRA_BYTES: Final = 16 * 1024
_MESSAGE: Final = {
    "type": "object",
    "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": TEMPLATE},
    "required": ["role", "content"],
    "additionalProperties": False,
}
# Members of a chat request that have fields of their own.
_CHAT_MEMBERS: Final = ("messages", "model", "stream", "stream_options", "response_format", "tools", "tool_choice")
_RESPONSE_FORMAT: Final = {
    "type": "object",
    "description": "The answer must be a JSON object, or match a JSON Schema; else it is requested once more.",
    "properties": {
        "type": {"enum": ["json_object", "json_schema"]},
        "json_schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
                "description": {"type": "string", "maxLength": 1_000},
                "schema": {"type": "object"},
                "strict": {"type": "boolean"},
            },
            "required": ["name", "schema"],
            "additionalProperties": False,
        },
    },
    "required": ["type"],
    "if": {"properties": {"type": {"const": "json_schema"}}},
    "then": {"required": ["json_schema"]},
    "additionalProperties": False,
}
LLM: Final = {
    "prompt": TEMPLATE,
    "system": TEMPLATE,
    "messages": {"type": "array", "items": _MESSAGE, "minItems": 1, "maxItems": 50},
    "model": {"type": "string", "minLength": 1, "maxLength": 200},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": 200_000},
    "max_completion_tokens": {"type": "integer", "minimum": 1, "maximum": 200_000},
    "response_format": _RESPONSE_FORMAT,
    "tools": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": 64},
    "tool_choice": {"type": ["string", "object"]},
    "extra_body": {
        "type": "object",
        "description": "Further members of the request, sent unchanged; at most 16 KiB.",
        "propertyNames": {"not": {"enum": list(_CHAT_MEMBERS)}},
        "maxProperties": 50,
    },
    "stream": {"type": "boolean", "default": True},
    "stream_usage": {
        "type": "boolean",
        "default": True,
        "description": "Request the token counts of a stream, by stream_options.",
    },
    "endpoint": {**NAME, "description": "A model endpoint by its name; platform is the platform's."},
    "fallbacks": {
        "type": "array",
        "items": NAME,
        "maxItems": 5,
        "uniqueItems": True,
        "description": "Names of model endpoints that are called in this order if the first is down.",
    },
}


def check_llm(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a fault, as its pointer within the config and its detail, for each part that cannot be used."""
    schema = config.get("response_format", {}).get("json_schema", {}).get("schema")
    if schema is not None:
        try:
            check_answer_schema(schema)
        except SchemaRefusedError as error:
            yield "/response_format/json_schema/schema", str(error)
    if len(json.dumps(config.get("extra_body", {}))) > MAX_EXTRA_BYTES:
        yield "/extra_body", translate("It has more than %(limit)s bytes.", {"limit": f"{MAX_EXTRA_BYTES:,}"})
