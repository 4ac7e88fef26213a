"""Decisions of people, as results of the approval nodes that wait for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workloads.workflows.definition.graph import Node
from workloads.workflows.engine.planner import Planner
from workloads.workflows.engine.state import NodeError, WaitCause
from workloads.workflows.models import Approval, ApprovalState
from workloads.workflows.running.values import Values

APPROVED, REJECTED = ApprovalState.APPROVED.value, ApprovalState.REJECTED.value
_ON_TIMEOUT: Mapping[str, str] = {"approve": APPROVED, "reject": REJECTED}


def apply_decisions(planner: Planner, values: Values, decisions: Mapping[str, Approval], now: float) -> None:
    """Let each node continue, or fail, whose approval has been decided, has timed out or was withdrawn."""
    for key in planner.waiting_for(WaitCause.DECISION):
        approval = decisions.get(str(key))
        if approval is None:
            continue
        case = _case_of(approval, planner.graph.nodes[key.node_id])
        if case is None:
            planner.fail(key, _failure_of(approval), now)
            continue
        outputs: dict[str, Any] = {
            "decision": case,
            "comment": approval.comment,
            "decided_by": approval.decided_by,
            "is_timed_out": approval.state == ApprovalState.TIMED_OUT,
        }
        planner.succeed(key, values.keep(outputs), case=case)


def _case_of(approval: Approval, node: Node) -> str | None:
    """Return the branch of a decision; None if there is none."""
    if approval.state == ApprovalState.TIMED_OUT:
        return _ON_TIMEOUT.get(node.config.get("on_timeout", "fail"))
    return approval.state if approval.state in (APPROVED, REJECTED) else None


def _failure_of(approval: Approval) -> NodeError:
    if approval.state == ApprovalState.TIMED_OUT:
        return NodeError("approval_timed_out", "The approval was not decided in time.")
    return NodeError("approval_withdrawn", "The question was withdrawn.")
