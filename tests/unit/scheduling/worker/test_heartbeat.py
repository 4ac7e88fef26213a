"""Rounds of the heartbeat thread whose check of the processes fails."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError

from scheduling.worker import heartbeat
from scheduling.worker.child_watch import ProcessWatch
from scheduling.worker.control_block import ControlBlock


class BrokenWatch(ProcessWatch):
    """A watch whose check fails in every round."""

    def __init__(self, worker: Any, error: Exception) -> None:
        super().__init__(worker)
        self.error = error

    def look(self) -> None:
        raise self.error


@pytest.mark.parametrize("error", [ValueError("odd"), OperationalError("away")])
def test_heartbeat_is_sent_although_the_check_of_processes_fails(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    has_beaten = threading.Event()

    def beat(**_: object) -> Any:
        has_beaten.set()
        return SimpleNamespace(is_worker_known=True, leases={})

    monkeypatch.setattr(heartbeat, "heartbeat", beat)
    registration = SimpleNamespace(worker_id=uuid4(), memory_mib=512)
    worker: Any = SimpleNamespace(block=ControlBlock(1), registration=registration)
    thread = heartbeat.HeartbeatThread(worker, BrokenWatch(worker, error))
    thread.start()
    try:
        assert has_beaten.wait(20)
    finally:
        thread.stop(timeout_seconds=20)
    assert not thread.is_alive()
