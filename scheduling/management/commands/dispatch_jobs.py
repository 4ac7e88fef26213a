"""Run the dispatcher."""

from __future__ import annotations

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS

from scheduling.worker.dispatcher import Dispatcher
from scheduling.worker.stopping import stop_event


class Command(BaseCommand):
    # The servers are checked. URLs, templates and admin are the web server's; here they would cost time and memory.
    requires_system_checks = [Tags.database]
    help = "Hand out jobs in fair order until stopped (SIGTERM, Ctrl-C). Run as many as you like; one leads each tick."

    def get_check_kwargs(self, options: dict[str, Any]) -> Any:
        """Django asks no server unless the database is named."""
        return super().get_check_kwargs(options) | {"databases": [DEFAULT_DB_ALIAS]}

    def handle(self, *args: Any, **options: Any) -> None:
        Dispatcher(stop_event()).run()
