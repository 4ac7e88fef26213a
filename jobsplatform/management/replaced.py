"""Replacements of commands of Django and of packages that would bypass the audit log.

This app is the first one, so a command here replaces theirs of the same name, and names the audited one.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError


class ReplacedCommand(BaseCommand):
    """A command that does nothing but name its audited replacement."""

    instead: ClassVar[str]
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        # Whatever options the replaced command had, the answer is the same; only `--help` remains one.
        rest = ["--help"] if {"-h", "--help"} & set(argv[2:]) else []
        super().run_from_argv([*argv[:2], *rest])

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(f"This command bypasses the audit log. Use `manage.py {self.instead}`.")
