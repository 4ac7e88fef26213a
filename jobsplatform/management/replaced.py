"""Base of commands that replace those of Django and other packages, because the originals would bypass the audit log.

This app is the first in INSTALLED_APPS, so its command replaces one of the same name; it only names the audited command
to use.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError


class ReplacedCommand(BaseCommand):
    """Management command that only tells the user which audited command to use instead."""

    instead: ClassVar[str]
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        # Whatever options the replaced command had, the answer is the same; only `--help` remains one.
        rest = ["--help"] if {"-h", "--help"} & set(argv[2:]) else []
        super().run_from_argv([*argv[:2], *rest])

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(f"This command bypasses the audit log. Use `manage.py {self.instead}`.")
