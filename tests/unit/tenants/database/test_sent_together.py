"""Statements that are sent together, with a driver that loses the answer of their commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from psycopg.pq import PipelineStatus

from tenants.transactions import sent_together


class Connection:
    """A connection whose driver's pipeline fails at its end, in or out of pipeline mode."""

    wrap_database_errors = nullcontext()

    def __init__(self, status: PipelineStatus) -> None:
        self.connection: Any = SimpleNamespace(info=SimpleNamespace(pipeline_status=status), pipeline=self._pipeline)
        self.is_closed = False

    @contextmanager
    def _pipeline(self) -> Iterator[None]:
        yield
        raise IndexError("pop from an empty deque")

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("status", [PipelineStatus.OFF, PipelineStatus.ON])
def test_lost_answer_of_a_commit_is_an_operational_error(status: PipelineStatus) -> None:
    connection: Any = Connection(status)
    with pytest.raises(OperationalError, match="not committed"), sent_together(connection):
        pass
    assert connection.is_closed


def test_index_error_of_the_block_is_its_own() -> None:
    connection: Any = Connection(PipelineStatus.OFF)
    with pytest.raises(IndexError, match="own"), sent_together(connection):
        raise IndexError("own")
    assert not connection.is_closed
