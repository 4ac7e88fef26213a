"""The self-test reports a protection only if the kernel refused the forbidden operation."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from jobsplatform.settings.env import BASE_DIR
from scheduling.sandbox.isolated import probe_sandbox, start_isolated
from scheduling.sandbox.layers import missing_of

pytestmark = pytest.mark.process

# Layers that a kernel supports, and the protections that the self-test then proves.
_PROBE = """
import json, sys
from scheduling.sandbox import layers
whole = layers._layers
layers._layers = lambda packages: {name: take for name, take in whole(packages).items() if name in sys.argv[1:]}
print(json.dumps(layers.enter(()).protections))
"""


def proved_with(*names: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *names], capture_output=True, text=True, check=True, cwd=BASE_DIR
    )
    proved: list[str] = json.loads(done.stdout)
    return proved


def test_this_machine_has_both_layers_and_every_protection() -> None:
    assert probe_sandbox() == {
        "layers": ["landlock", "seccomp"],
        "protections": ["network", "files", "writing", "processes"],
    }


@pytest.mark.parametrize(
    ("names", "missing"),
    [((), ("network", "files")), (("landlock",), ("network",)), (("seccomp",), ("files",))],
)
def test_missing_layer_is_found(names: tuple[str, ...], missing: tuple[str, ...]) -> None:
    assert missing_of(proved_with(*names)) == missing


def test_probe_that_dies_reports_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "scheduling.sandbox.isolated.start_isolated", lambda module: start_isolated("scheduling.sandbox.absent")
    )
    assert probe_sandbox() == {"layers": [], "protections": []}
