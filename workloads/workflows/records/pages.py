"""The template context of a run's page: its graph with the nodes' states, its timeline, and facts about its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from tenants.database.platform_settings import platform_settings
from workloads.workflows.records.drawing import TIMELINE_UNITS, Drawing, NodeBar, draw_bars, draw_graph
from workloads.workflows.records.models import NodeRun
from workloads.workflows.records.offloading import StoredValue, value_of
from workloads.workflows.records.queries import RunPicture, read_picture
from workloads.workflows.records.records import TERMINAL_STATES
from workloads.workflows.records.wording import StateMark, mark_of, seconds_in_words

SHOWN_NODES: Final = 500
SHOWN_KEYS: Final = 20


@dataclass(frozen=True, slots=True)
class OffloadedValue:
    """The size and the keys of a value whose content is not shown."""

    size_bytes: int
    keys: Sequence[str]
    has_more_keys: bool


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """A node on the timeline. ``bar`` is None before the node begins."""

    node: NodeRun
    state: str
    mark: StateMark
    bar: NodeBar | None
    took: str
    inputs_bytes: int
    outputs_bytes: int


def run_page_context(run_id: UUID) -> dict[str, Any]:
    """Return the context of that part of the page which changes while the run continues.

    Raise `WorkflowRunNotFoundError` if there is no such run.
    """
    picture = read_picture(run_id, most_nodes=SHOWN_NODES)
    run = picture.run
    return {
        "run": run,
        "run_mark": mark_of(run.shown_state),
        "run_took": seconds_in_words(run.elapsed_seconds),
        "is_over": is_over(picture),
        "drawings": _draw(picture),
        "timeline": _timeline(picture),
        "timeline_units": TIMELINE_UNITS,
        "currency": platform_settings.MODEL_CURRENCY,
        "has_more_nodes": len(picture.nodes) == SHOWN_NODES,
        "shown_nodes": SHOWN_NODES,
        "inputs": offloaded_value_of(value_of(run, "inputs")),
        "outputs": offloaded_value_of(value_of(run, "outputs")),
    }


def is_over(picture: RunPicture) -> bool:
    """Return whether the run has ended. The page of an ended run is not polled."""
    return picture.run.shown_state in TERMINAL_STATES


def offloaded_value_of(value: StoredValue | None) -> OffloadedValue | None:
    """Return the size of a value, and its top-level keys unless its row holds only the beginning; None for None."""
    if value is None:
        return None
    keys = sorted(value.content) if isinstance(value.content, dict) else []
    return OffloadedValue(value.size_bytes, keys[:SHOWN_KEYS], len(keys) > SHOWN_KEYS)


def _draw(picture: RunPicture) -> list[dict[str, Any]]:
    drawings: list[Drawing] = draw_graph(
        picture.run.graph, ((node.node_id, node.shown_state) for node in picture.nodes)
    )
    return [
        {"drawing": drawing, "boxes": [{"box": box, "mark": mark_of(box.state)} for box in drawing.boxes]}
        for drawing in drawings
    ]


def _timeline(picture: RunPicture) -> list[TimelineRow]:
    nodes = picture.nodes
    # A node without an end time ended with its run at the latest.
    ends = [node.ended_at or (picture.run.ended_at if node.shown_state in TERMINAL_STATES else None) for node in nodes]
    spans = [(node.started_at, end) for node, end in zip(nodes, ends, strict=True)]
    bars = draw_bars(spans, now=timezone.now())
    return [
        TimelineRow(
            node=node,
            state=node.shown_state,
            mark=mark_of(node.shown_state),
            bar=bar,
            took=seconds_in_words(node.elapsed_seconds),
            inputs_bytes=node.inputs_bytes,
            outputs_bytes=node.outputs_bytes,
        )
        for node, bar in zip(nodes, bars, strict=True)
    ]
