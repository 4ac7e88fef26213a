"""What the clients of a load submit, and what is expected of it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, cast
from uuid import UUID

import pytest

from tests.chaos.client import Client
from tests.chaos.expectations import expected_state, expected_steps
from tests.chaos.load import BURST, Load, Traffic

TENANTS = [UUID(int=1), UUID(int=2)]


class RecordingClient:
    """Client that stops the load after some submissions."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.load: Load | None = None
        self.kinds: Counter[str] = Counter()

    def submit(self, tenant_id: UUID, kind: str, payload: dict[str, Any]) -> None:
        self.kinds[kind] += 1

    def repeatable_requests(self) -> list[Any]:
        if self.kinds.total() >= self._most:
            assert self.load is not None
            self.load.finish()
        return []


def test_load_consists_of_the_requested_parts() -> None:
    client = RecordingClient(4_000)
    traffic = Traffic(per_second=1e9, failing_part=0.1, small_part=0.2, coroutine_part=0.3)
    client.load = Load(cast("Client", client), TENANTS, traffic, random.Random(1))
    client.load.run()
    submissions = dict(client.kinds) | {"chaos_small": client.kinds["chaos_small"] // BURST}
    parts = {kind: count / sum(submissions.values()) for kind, count in submissions.items()}
    assert parts == pytest.approx({"fail": 0.1, "chaos_small": 0.2, "chaos_patient": 0.3, "chaos_steps": 0.4}, abs=0.05)


def test_small_job_has_one_effect_unless_it_kills() -> None:
    assert expected_steps("chaos_small", {"milliseconds": 3}) == {"step 0"}
    assert expected_state("chaos_small", {"milliseconds": 3}) == "completed"
    assert expected_state("chaos_small", {"kills": True}) == "quarantined"
