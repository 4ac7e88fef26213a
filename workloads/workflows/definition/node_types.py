"""The types of nodes, each with its config, outputs and cases. The code is pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workloads.workflows.definition.control_types import CONTROL_TYPES
from workloads.workflows.definition.node_parts import NodeType
from workloads.workflows.definition.work_types import WORK_TYPES

NODE_TYPES: Final[Mapping[str, NodeType]] = {one.name: one for one in (*CONTROL_TYPES, *WORK_TYPES)}
