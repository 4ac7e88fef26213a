"""Liveness probes of real processes."""

from __future__ import annotations

import os
import signal

import pytest

from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually

AWAY = "postgres://nobody@127.0.0.1:9/none"
# Each probe is a process that loads Django, beside those that are just starting.
PROBED_SECONDS = 180.0


def is_alive(platform: Platform, role: str) -> bool:
    """Return what the probe of a role finds, asked without a database."""
    return platform.start("check_process", role, DATABASE_URL=AWAY, LEASE_SECONDS="5").wait() == 0


@pytest.mark.usefixtures("acme")
def test_probe_finds_each_role_and_misses_a_process_that_stands_still(platform: Platform) -> None:
    beat = platform.start_beat()
    for role in ("dispatcher", "worker", "auditor", "beat"):
        eventually(
            lambda role=role: is_alive(platform, role), within=PROBED_SECONDS, what=f"the probe finds the {role}"
        )
    os.kill(beat.pid, signal.SIGSTOP)
    eventually(lambda: not is_alive(platform, "beat"), what="the probe misses a beat that stands still")
    os.kill(beat.pid, signal.SIGCONT)
    eventually(lambda: is_alive(platform, "beat"), what="the probe finds a beat that goes on")
    assert beat.stop() == 0
    assert not is_alive(platform, "beat")
