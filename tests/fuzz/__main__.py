"""Fuzz the running platform: Schemathesis with all checks over the API, hostile parameters over the console's pages.

    make fuzz [REQUESTS=20000] [SEED=1]

Starts gunicorn on a database of its own with a row behind every address, sends at least `REQUESTS` requests and exits
with 1 if a check fails or an answer is a server error other than 503 with `Retry-After`. The web server's access log is
what is counted: what the tools report and what was answered are the same requests.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import django

from benchmarks import raise_request_rates


def main(arguments: list[str] | None = None) -> int:
    """Run both parts, print what was answered, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="how many requests at least")
    parser.add_argument("--seed", type=int, default=1, help="the seed of both parts")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings.test")
    os.environ.setdefault("JOBSPLATFORM_TEST_RUN", f"fuzz{os.getpid()}")
    # Responses are tested here, not rate limits.
    raise_request_rates()
    django.setup()
    from tests.fuzz.run import run

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        return run(requests=options.requests, seed=options.seed, folder=Path(folder))


if __name__ == "__main__":
    sys.exit(main())
