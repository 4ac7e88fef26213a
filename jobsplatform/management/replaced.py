"""Commands of Django and of packages that would change something without a word in the audit log.

This app is the first one, so a command of the same name here takes the place of theirs, and says which one to use.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError


class ReplacedCommand(BaseCommand):
    """Does nothing but name the command that does it and records it."""

    instead: ClassVar[str]
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        # Whatever options the replaced one had: all end in the same answer.
        super().run_from_argv(argv[:2])

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(f"The audit log would not know of it. Use `manage.py {self.instead}`.")
