"""Timeout of the work of a node, and the side that it counts for."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest

from scheduling.execution.dependencies import DependencyUse
from scheduling.kit.base import Dependency, TransientError
from scheduling.kit.http import NoAnswerError
from workloads.model_endpoints.endpoints import MODEL_LIMITS
from workloads.workflows.definition.node_types import NODE_TYPES
from workloads.workflows.running.concurrency import within


def fail(work: Any, seconds: float, usual_seconds: float | None) -> TransientError:
    with pytest.raises(TransientError) as caught:
        asyncio.run(within(work, seconds, usual_seconds))
    return caught.value


async def hang() -> Any:
    await asyncio.sleep(60)


async def reach_own_limit() -> Any:
    await asyncio.sleep(0.05)
    raise NoAnswerError("It did not answer in time.", code="timed_out")


async def raise_refused() -> Any:
    raise NoAnswerError("It cannot be reached.")


async def reach_connect_limit() -> Any:
    """Reach the limit of connecting, which no node configures."""
    raise NoAnswerError("It did not answer in time.", code="timed_out")


@pytest.mark.parametrize(("usual_seconds", "is_own"), [(120.0, True), (0.05, False), (0.01, False), (None, False)])
@pytest.mark.parametrize("work", [hang, reach_own_limit])
def test_timeout_below_the_usual_one_counts_for_the_caller(
    work: Any, usual_seconds: float | None, is_own: bool
) -> None:
    error = fail(work, 0.05, usual_seconds)
    assert (error.code, error.is_own_timeout) == ("timed_out", is_own)


@pytest.mark.parametrize("work", [raise_refused, reach_connect_limit])
def test_failure_before_the_timeout_is_unchanged(work: Any) -> None:
    error = fail(work, 30.0, 120.0)
    assert isinstance(error, NoAnswerError)
    assert not error.is_own_timeout


def test_default_timeout_of_llm_node_is_that_of_the_model() -> None:
    assert NODE_TYPES["llm"].timeout_seconds == MODEL_LIMITS.total_seconds


@pytest.mark.parametrize("is_own_timeout", [True, False])
def test_report_of_a_dependency_marks_timeouts_of_the_caller(is_own_timeout: bool) -> None:
    use = DependencyUse(Mock(execution_id=uuid4()))
    use.leave(Dependency("llm", is_shared=True), TransientError("late", is_own_timeout=is_own_timeout))
    (report,) = use._reports.values()
    assert (report.is_up, report.is_shared, report.is_own_timeout) == (False, True, is_own_timeout)
