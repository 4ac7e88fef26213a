"""The settings of indexing that a run reads from its pipeline's definition."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from workloads.documents.dataset_model import KEY_ENDING
from workloads.documents.extraction.limits import MIB, ParsingLimits
from workloads.documents.one_item.item import IndexingSettings
from workloads.documents.split_settings import (
    CHUNKS_A_PARENT,
    DEFAULT_CHUNK_SIZE,
    DEFAULT_OVERLAP,
    Chunking,
    SizeUnit,
    SplitSettings,
)
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.state import Status

DEFAULT_CHARACTERS, MAX_CHARACTERS = 1_000_000, 2_000_000
DEFAULT_HEADING_LEVEL: Final = 2
DEFAULT_BATCH_SIZE, MAX_BATCH_SIZE = 32, 128
PARSER_BYTES: Final = 512 * MIB
# A character takes up to six bytes as JSON, and a block some more for its location.
_JSON_BYTES_A_CHARACTER: Final = 8
# Where chunks begin and end, by the name of the mode.
MODES: Final = {
    "fixed": Chunking.STRUCTURE,
    "markdown": Chunking.HEADING,
    **{one.value: one for one in (Chunking.PAGE, Chunking.QA, Chunking.PARENT_CHILD)},
}


def read_settings(configs: Mapping[str, Mapping[str, Any]]) -> IndexingSettings:
    """Return the indexing settings in the configs of steps, by their types; missing ones have their defaults."""
    extract, clean, split, embed = (configs.get(key, {}) for key in ("extract", "clean", "split", "embed"))
    size = int(split.get("chunk_size", DEFAULT_CHUNK_SIZE))
    most = int(extract.get("max_characters", DEFAULT_CHARACTERS))
    return IndexingSettings(
        split_settings=SplitSettings(
            chunk_size=size,
            overlap=int(split.get("chunk_overlap", min(DEFAULT_OVERLAP, size // 2))),
            unit=SizeUnit(split.get("size_unit", SizeUnit.TOKENS)),
            chunking=MODES[split.get("mode", "fixed")],
            parent_size=int(split.get("parent_size", CHUNKS_A_PARENT * size)),
            heading_level=int(split.get("heading_level", DEFAULT_HEADING_LEVEL)),
        ),
        remove_urls=bool(clean.get("remove_urls", False)),
        remove_emails=bool(clean.get("remove_emails", False)),
        batch_size=int(embed.get("batch_size", DEFAULT_BATCH_SIZE)),
        max_characters=most,
        parsing=ParsingLimits(memory_bytes=PARSER_BYTES, output_bytes=_JSON_BYTES_A_CHARACTER * most + MIB),
    )


def settings_in(graph: Graph, nodes: Mapping[str, Mapping[str, Any]]) -> IndexingSettings:
    """Return the settings of the steps that an entity has taken; ``nodes`` are the stored states of its nodes."""
    taken = [graph.nodes[name] for name, row in nodes.items() if row["s"] in (Status.DONE, Status.RUNNING)]
    return read_settings({node.type: node.config for node in taken})


def settings_key(settings: IndexingSettings, digest: str = "") -> str:
    """Return a key of the settings. If the keys are equal, equal content gives equal chunks.

    ``digest`` is that of the passages if they are of another text than the content's.

    It never equals the key of a dataset's own settings.
    """
    split = settings.split_settings
    mode = next(name for name, chunking in MODES.items() if chunking is split.chunking)
    parts: list[object] = ["pipeline", settings.remove_urls, settings.remove_emails, mode]
    parts += [split.chunk_size, split.overlap, split.heading_level if split.chunking is Chunking.HEADING else 0]
    if split.unit is not SizeUnit.TOKENS:
        parts.append(split.unit.value)
    if split.chunking is Chunking.PARENT_CHILD:
        parts.append(split.parent_size)
    if digest:
        parts.append(digest)
    parts.append(KEY_ENDING)
    return hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()[:16]
