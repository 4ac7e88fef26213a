#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys

CURE = (
    "Beside `make dev`, run `set -a; . var/dev.env; set +a` first; elsewhere set the variables of "
    "docs/reference/configuration.md."
)


def main() -> None:
    """Run one management command with the project's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")
    # billiard reads it at import: a worker that had to set it itself would start twice.
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        reason = str(error).splitlines()[0] if os.environ.get("DATABASE_URL") else "DATABASE_URL is not set"
        sys.exit(f"No connection to the database: {reason}. {CURE}")


if __name__ == "__main__":
    main()
