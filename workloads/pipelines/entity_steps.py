"""The steps of a pipeline as nodes: what each does for the item of one entity, in its thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scheduling.kit.base import PermanentError
from workloads.documents.blocks import Block
from workloads.documents.one_item import steps
from workloads.pipelines.steps import fetch
from workloads.workflows.running.concurrency import failure_of

if TYPE_CHECKING:
    from workloads.pipelines.walk import Walk
    from workloads.workflows.engine.tasks import Task


def _datasource(walk: Walk, task: Task) -> None:
    source = walk.source
    if not walk.item.state.content_key:
        walk.item, walk.result = fetch(source, walk.item, walk.context), "content"
    walk.end(task, {"name": walk.item.name, "type": source["type"], "url": source.get("url", "")})


def _extract(walk: Walk, task: Task) -> None:
    walk.item = item = steps.extract(walk.item, walk.context)
    characters = sum(len(block.text) for block in item.blocks)
    facts = {"characters": characters, "content_type": item.state.content_type, "pages": item.facts.pages}
    walk.end(task, facts)


def _clean(walk: Walk, task: Task) -> None:
    walk.item = steps.clean(walk.item)
    walk.end(task, {})


def _split(walk: Walk, task: Task) -> None:
    if (value := task.node.config.get("text")) is not None:
        try:
            text = walk.reading().evaluate(value)
        except Exception as error:
            failure = failure_of(error)
            raise PermanentError(failure.message, code=failure.code) from error
        blocks = blocks_of(text if isinstance(text, str) else json.dumps(text, ensure_ascii=False))
        walk.item = replace(walk.item, blocks=blocks)
    walk.item, walk.result = steps.split(walk.item), "passages"
    walk.end(task, {"chunks": len(walk.item.passages)})


def _embed(walk: Walk, task: Task) -> None:
    if walk.item.source is None:
        _reopen(walk)
    else:
        walk.batch, walk.result = steps.embed(walk.item, walk.embedder, walk.context, walk.known), "batch"


def _load(walk: Walk, task: Task) -> None:
    if walk.item.source is None:
        _reopen(walk)
    else:
        walk.result = "loaded"


def _reopen(walk: Walk) -> None:
    # The document is opened, and the node ends, in the thread that stores.
    if not walk.item.passages:
        walk.item = steps.load_passages(walk.item)
    walk.result = "opened"


DOERS: Final[Mapping[str, Callable[[Walk, Task], None]]] = {
    "datasource": _datasource,
    "extract": _extract,
    "clean": _clean,
    "split": _split,
    "embed": _embed,
    "load": _load,
}


def blocks_of(text: str) -> list[Block]:
    """Return the paragraphs of a text as blocks; one that begins with number signs is a heading, as in Markdown."""
    blocks = []
    for part in text.replace("\r\n", "\n").split("\n\n"):
        first, _, rest = part.strip().partition("\n")
        words = first.lstrip("#")
        level = len(first) - len(words)
        if 1 <= level <= 6 and words.startswith(" "):
            blocks.append(Block(words.strip(), level=level))
            first = ""
        if body := f"{first}\n{rest}".strip():
            blocks.append(Block(body))
    return blocks
