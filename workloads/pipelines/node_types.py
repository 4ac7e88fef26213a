"""The types of nodes in the graph of a pipeline: its own steps, and those that it has in common with workflows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from workloads.documents.split_settings import (
    DEFAULT_CHUNK_SIZE,
    DEFAULT_OVERLAP,
    MAX_CHUNK_SIZE,
    MAX_PARENT_SIZE,
    MIN_CHUNK_SIZE,
    SizeUnit,
)
from workloads.pipelines.indexing_settings import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_CHARACTERS,
    DEFAULT_HEADING_LEVEL,
    MAX_BATCH_SIZE,
    MAX_CHARACTERS,
    MODES,
)
from workloads.pipelines.source_schema import SOURCES_SCHEMA
from workloads.workflows.definition.expressions import Expression, of_value
from workloads.workflows.definition.node_parts import VALUE, Config, NodeType, of_values
from workloads.workflows.definition.node_types import NODE_TYPES, Vocabulary
from workloads.workflows.definition.schema import NODE

# The steps that every entity takes, in this order.
STEPS: Final = ("datasource", "extract", "clean", "split", "embed", "load")
# Types of workflows: none of them waits, repeats a graph or submits a job.
_SHARED: Final = ("condition", "merge", "template", "json_extract", "http_request", "llm")
_MEMBERS: Final = ("id", "title", "config", "timeout_seconds", "on_error")


def _of_metadata(config: Config) -> Iterator[Expression]:
    for name, value in config.get("metadata", {}).items():
        yield from of_value(f"/metadata/{name.replace('~', '~0').replace('/', '~1')}", value)


def _whole(minimum: int, maximum: int, text: str, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "description": text, **more}


_SPLIT: Final[Mapping[str, Any]] = {
    "mode": {
        "enum": list(MODES),
        "default": "fixed",
        "description": "`fixed`: pieces up to a maximum size. The others are the chunkings of datasets; "
        "`markdown` is that by heading.",
    },
    "size_unit": {"enum": SizeUnit.values, "default": SizeUnit.TOKENS.value},
    "chunk_size": _whole(
        MIN_CHUNK_SIZE, MAX_CHUNK_SIZE, "Maximum of a chunk; at most 1,000 tokens.", default=DEFAULT_CHUNK_SIZE
    ),
    "chunk_overlap": _whole(
        0,
        MAX_CHUNK_SIZE // 2,
        "How much a chunk repeats from the previous one; at most half of a chunk.",
        default=DEFAULT_OVERLAP,
    ),
    "parent_size": _whole(
        MIN_CHUNK_SIZE,
        MAX_PARENT_SIZE,
        "`parent_child` only: the maximum of the passage that searches return; four chunks.",
    ),
    "heading_level": _whole(
        1, 6, "`markdown` only: the lowest heading that begins a section.", default=DEFAULT_HEADING_LEVEL
    ),
    "text": {**VALUE, "description": "A text to split in place of the entity's own, with headings as in Markdown."},
}
_OWN: Final = (
    NodeType(
        name="datasource",
        title="Sources of runs whose request names none",
        properties={"sources": SOURCES_SCHEMA},
        outputs=("name", "type", "url"),
    ),
    NodeType(
        name="extract",
        title="Extraction of text from PDF, DOCX, HTML, Markdown, plain text and CSV",
        properties={
            "max_characters": _whole(
                1_000, MAX_CHARACTERS, "An entity with more text fails.", default=DEFAULT_CHARACTERS
            )
        },
        outputs=("characters", "content_type", "pages"),
    ),
    NodeType(
        name="clean",
        title="Removal of control characters, running headers and spare blanks",
        properties={
            "remove_urls": {"type": "boolean", "default": False},
            "remove_emails": {"type": "boolean", "default": False},
        },
        outputs=("text",),
    ),
    NodeType(
        name="split",
        title="Splitting of the text into chunks",
        properties=_SPLIT,
        outputs=("chunks",),
        expressions=lambda config: of_values(config, "text"),
    ),
    NodeType(
        name="embed",
        title="Vectors of the chunks, by the dataset's embedding model",
        properties={
            "batch_size": _whole(1, MAX_BATCH_SIZE, "Chunks embedded and stored at a time.", default=DEFAULT_BATCH_SIZE)
        },
    ),
    NodeType(
        name="load",
        title="Loading of the chunks into a dataset",
        properties={
            "dataset": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "description": "The dataset by its id or name; a saved version keeps the dataset that it named.",
            },
            "metadata": {
                "type": "object",
                "additionalProperties": VALUE,
                "maxProperties": 20,
                "description": "Values of the document by the fields that the dataset declares.",
            },
        },
        required=("dataset",),
        expressions=_of_metadata,
    ),
)
_TYPES: Final = {one.name: one for one in (*_OWN, *(NODE_TYPES[name] for name in _SHARED))}
PIPELINE: Final = Vocabulary(
    "Pipeline",
    _TYPES,
    {
        **NODE,
        "properties": {
            **{name: NODE["properties"][name] for name in _MEMBERS},
            "type": {"enum": list(_TYPES)},
        },
    },
    first=STEPS[0],
    last=STEPS[-1],
)


def chain(**configs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition with nothing but the steps, each with its config, if one is given."""
    nodes = [{"id": step, "type": step, "config": dict(configs.get(step, {}))} for step in STEPS]
    return {"nodes": nodes, "edges": [{"from": step, "to": after} for step, after in pairwise(STEPS)]}
