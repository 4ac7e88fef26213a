"""The way of one entity through the graph of its pipeline: where it begins again, and when it stops."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from uuid import UUID

import pytest

from workloads.documents.embedding import LocalEmbedder
from workloads.documents.one_item.item import IndexingItem, IndexingSettings, IndexingState
from workloads.documents.one_item.steps import StepContext
from workloads.documents.split_settings import SplitSettings
from workloads.pipelines.node_types import PIPELINE, STEPS, chain
from workloads.pipelines.thread_pool import StoppedError
from workloads.pipelines.walk import Walk
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.state import Status


def walk_of(done: tuple[str, ...], kind: str = "text", check_running: Any = lambda: None, **state: str) -> Walk:
    """Return the way of an entity of which these steps are stored as done."""
    settings = IndexingSettings(SplitSettings())
    return Walk(
        graph=Graph.read(chain(load={"dataset": "handbook"}), PIPELINE.types),
        read_nodes=frozenset(),
        item=IndexingItem(UUID(int=1), "page", "page", settings, "model", IndexingState(**state)),
        source={"type": kind, "text": "One."},
        entity_id=UUID(int=5),
        attempt=1,
        stored={name: {"s": Status.DONE.value, "t": 1.0} for name in done},
        outputs={},
        context=StepContext(check_running, lambda _: nullcontext()),
        embedder=LocalEmbedder(),
    )


@pytest.mark.parametrize(
    ("done", "state", "kind", "due"),
    [
        ((), {}, "text", ["datasource"]),
        (("datasource",), {"content_key": "k"}, "text", ["extract"]),
        # What is extracted is in memory only.
        (("datasource", "extract", "clean"), {"content_key": "k"}, "text", ["extract"]),
        (STEPS[:4], {"content_key": "k", "passages_key": "p"}, "text", ["embed"]),
        # Without its content a text is fetched again; a page, which may have changed, also takes its steps again.
        (STEPS[:4], {"passages_key": "p"}, "text", ["datasource", "embed"]),
        (STEPS[:4], {"passages_key": "p"}, "url", ["datasource"]),
    ],
)
def test_way_goes_on_with_the_first_step_whose_result_is_not_stored(
    done: tuple[str, ...], state: dict[str, str], kind: str, due: list[str]
) -> None:
    walk = walk_of(done, kind, **state)
    assert [step for step in STEPS if walk.is_due(step)] == due


def test_way_stops_before_a_node_when_its_run_is_over() -> None:
    def is_over() -> None:
        raise StoppedError

    walk = walk_of((), check_running=is_over)
    with pytest.raises(StoppedError):
        walk.run()
    assert (walk.result, walk.item.state.content_key) == ("", "")
