#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys


def main() -> None:
    """Run one management command with the project's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")
    # billiard reads it at import: a worker that had to set it itself would start twice.
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
