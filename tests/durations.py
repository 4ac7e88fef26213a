"""Seconds of whole runs of a make target, for `make code-metrics`."""

from __future__ import annotations

import json
import os

from tools.code_metrics import ROOT, TEST_SECONDS_FILE

# Set by the Makefile, unless arguments choose some of the tests.
TARGET_VARIABLE = "TIMED_TARGET"


def record_seconds(seconds: float) -> None:
    """Store the duration of the make target that runs these tests, if one is named."""
    target, path = os.environ.get(TARGET_VARIABLE), ROOT / TEST_SECONDS_FILE
    if target:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(known | {target: round(seconds)}), encoding="utf-8")
