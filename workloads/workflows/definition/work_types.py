"""The types of nodes that make texts and values, by themselves or by other services. The code is pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tenants.secrets.references import split_references
from workloads.workflows.definition.config_parts import TEMPLATE
from workloads.workflows.definition.expressions import Expression
from workloads.workflows.definition.llm_config import LLM
from workloads.workflows.definition.node_parts import VALUE, Config, NodeType, of_templates, of_values

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MAX_SEARCHED: Final = 10
_DATASET: Final = {**TEMPLATE, "maxLength": 200, "description": "The id of a dataset."}


def _of_http(config: Config) -> Iterator[Expression]:
    yield from of_templates(config, "url", "body")
    for name, text in config.get("headers", {}).items():
        place = f"/headers/{name.replace('~', '~0').replace('/', '~1')}"
        # The text between references to secrets is rendered piece by piece.
        yield from (Expression(place, "template", piece) for piece in split_references(text) if isinstance(piece, str))
    yield from of_values(config, "json")


def _of_llm(config: Config) -> Iterator[Expression]:
    yield from of_templates(config, "prompt", "system")
    for number, message in enumerate(config.get("messages", ())):
        yield Expression(f"/messages/{number}/content", "template", message["content"])


def _of_search(config: Config) -> Iterator[Expression]:
    yield from of_templates(config, "dataset", "query")
    for number, text in enumerate(config.get("datasets", ())):
        yield Expression(f"/datasets/{number}", "template", text)


WORK_TYPES: Final = (
    NodeType(
        name="template",
        title="Text from a template",
        properties={"template": TEMPLATE},
        required=("template",),
        outputs=("text",),
        expressions=lambda config: of_templates(config, "template"),
    ),
    NodeType(
        name="json_extract",
        title="JSON from a text",
        properties={
            "value": VALUE,
            "schema": {"type": "object", "description": "The JSON Schema that it must match."},
        },
        required=("value",),
        outputs=("json",),
        expressions=lambda config: of_values(config, "value"),
    ),
    NodeType(
        name="http_request",
        title="HTTP request",
        properties={
            "method": {"enum": list(METHODS), "default": "GET"},
            "url": {**TEMPLATE, "maxLength": 8_000},
            "headers": {"type": "object", "additionalProperties": TEMPLATE, "maxProperties": 50},
            "body": TEMPLATE,
            "json": VALUE,
            "redirects": {"type": "integer", "minimum": 0, "maximum": 5, "default": 0},
            "expected_statuses": {
                "type": "array",
                "items": {"type": "integer", "minimum": 100, "maximum": 599},
                "maxItems": 50,
                "description": "By default every status from 200 to 299.",
            },
        },
        required=("url",),
        outputs=("status", "headers", "body", "json", "url"),
        expressions=_of_http,
        max_retries=2,
    ),
    NodeType(
        name="knowledge_retrieval",
        title="Search in datasets",
        properties={
            "dataset": _DATASET,
            "datasets": {"type": "array", "items": _DATASET, "minItems": 1, "maxItems": MAX_SEARCHED},
            "query": {**TEMPLATE, "maxLength": 8_000},
            "top_k": {"type": "integer", "minimum": 1, "maximum": 50, "default": 5},
            "mode": {"enum": ["hybrid", "vector", "text"], "default": "hybrid"},
            "min_score": {"type": "number", "minimum": 0, "maximum": 1},
            "fold_duplicates": {"type": "boolean", "default": True},
            "rerank": {"type": "boolean", "description": "By default as the datasets say."},
            "filter": {
                "type": "object",
                "maxProperties": 10,
                "description": "Values of the documents' metadata, as searches take them.",
            },
        },
        required=("query",),
        one_of=(("dataset",), ("datasets",)),
        outputs=("results", "text"),
        expressions=_of_search,
        max_retries=2,
    ),
    NodeType(
        name="embedding",
        title="Vectors of texts",
        properties={
            "texts": VALUE,
            "endpoint": LLM["endpoint"],
            "model": {"type": "string", "minLength": 1, "maxLength": 200},
        },
        required=("texts",),
        outputs=("vectors", "dimensions", "model"),
        expressions=lambda config: of_values(config, "texts"),
        timeout_seconds=60.0,
        max_retries=2,
    ),
    NodeType(
        name="llm",
        title="Ask a model",
        properties=LLM,
        one_of=(("prompt",), ("messages",)),
        outputs=(
            *("text", "json", "tool_calls", "model", "endpoint", "finish_reason"),
            *("prompt_tokens", "completion_tokens"),
        ),
        expressions=_of_llm,
        timeout_seconds=120.0,
        max_retries=2,
    ),
)
