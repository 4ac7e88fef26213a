"""The types of nodes, each with its config, outputs and cases. The code is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from workloads.workflows.definition.control_types import CONTROL_TYPES
from workloads.workflows.definition.node_parts import NodeType
from workloads.workflows.definition.work_types import WORK_TYPES

NODE_TYPES: Final[Mapping[str, NodeType]] = {one.name: one for one in (*CONTROL_TYPES, *WORK_TYPES)}
# Those whose config contains a graph.
GRAPH_TYPES: Final = frozenset(name for name, kind in NODE_TYPES.items() if kind.has_graph)


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """What definitions of one sort are made of: the types of nodes, and the JSON Schema of a node without its config.

    ``first`` is the type of the one node in which a graph begins, ``last`` that of nodes in which it ends.
    """

    title: str
    types: Mapping[str, NodeType]
    node: Mapping[str, Any]
    first: str
    last: str
