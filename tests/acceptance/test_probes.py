"""Liveness probes of real processes."""

from __future__ import annotations

import os
import signal

import pytest

from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually

AWAY = "postgres://unused@127.0.0.1:9/none"
# Each probe is a process that loads Django, while other processes start.
PROBED_SECONDS = 180.0


def is_alive(platform: Platform, role: str) -> bool:
    """Return whether the probe of a role passes without a database."""
    return platform.start("check_process", role, DATABASE_URL=AWAY, LEASE_SECONDS="5").wait() == 0


@pytest.mark.usefixtures("acme")
def test_probe_passes_for_each_role_and_fails_for_stopped_process(platform: Platform) -> None:
    beat = platform.start_beat()
    for role in ("dispatcher", "worker", "auditor", "beat"):
        eventually(
            lambda role=role: is_alive(platform, role), within=PROBED_SECONDS, what=f"the probe finds the {role}"
        )
    os.kill(beat.pid, signal.SIGSTOP)
    eventually(lambda: not is_alive(platform, "beat"), what="the probe fails for a stopped beat")
    os.kill(beat.pid, signal.SIGCONT)
    eventually(lambda: is_alive(platform, "beat"), what="the probe passes for a resumed beat")
    assert beat.stop() == 0
    assert not is_alive(platform, "beat")
