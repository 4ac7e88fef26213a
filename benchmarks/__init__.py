"""Benchmarks of the platform, with request rates under which no request is refused."""

import os

RATE = "100000000/100000000"
NAMES = ("KEY_REQUEST_RATE", "SESSION_REQUEST_RATE", "TENANT_REQUEST_RATE", "ANONYMOUS_REQUEST_RATE")


def raise_request_rates() -> None:
    """Set the default rates for this process and its children; call it before Django is set up."""
    for name in NAMES:
        os.environ.setdefault(name, RATE)
