"""Expected results of jobs by kind and payload: the load declares its failures in the payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.chaos.plugin.processor import SETTLED

MAX_RETRIES = 3


def expected_steps(kind: str, payload: Mapping[str, Any]) -> set[str]:
    """Return the effects of a completed job of a kind."""
    if kind == "chaos_small":
        return {"step 0"}
    if kind != "chaos_steps":
        return set()
    return {f"step {number}" for number in range(int(payload["steps"]))} | {SETTLED}


def expected_failures(kind: str, payload: Mapping[str, Any]) -> int | None:
    """Return how many attempts of a job fail on purpose, or None if all do."""
    if kind == "fail":
        times = payload.get("times")
        return None if times is None or payload.get("how") == "permanent" else int(times)
    if kind == "chaos_prober" and (payload.get("fails") or payload.get("breaks")):
        return None
    return None if "fails_while" in payload or "result_bytes" in payload else 0


def expected_state(kind: str, payload: Mapping[str, Any]) -> str:
    """Return the state in which a job must end."""
    if kind == "chaos_killer" or (kind == "chaos_small" and payload.get("kills")):
        return "quarantined"
    failures = expected_failures(kind, payload)
    return "discarded" if failures is None or failures > MAX_RETRIES else "completed"
