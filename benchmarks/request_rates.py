"""The rates of requests under which benchmarks run: buckets are asked as in a deployment, and refuse nothing."""

from __future__ import annotations

import os

RATE = "100000000/100000000"
NAMES = ("KEY_REQUEST_RATE", "SESSION_REQUEST_RATE", "TENANT_REQUEST_RATE", "ANONYMOUS_REQUEST_RATE")


def raise_request_rates() -> None:
    """Set the default rates for this process and its children; call it before Django is set up."""
    for name in NAMES:
        os.environ.setdefault(name, RATE)
