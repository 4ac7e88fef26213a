"""Command that fetches the files of waiting documents to a machine with workers."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, close_old_connections

from tenants.database.platform_settings import platform_settings
from tenants.management.base import PlatformCommand
from workloads.documents.indexing.ahead import fetch_files_ahead

logger = logging.getLogger(__name__)
# Between two looks at the pool's lines.
PAUSE_SECONDS = 2.0


class Command(PlatformCommand):
    help = (
        "Fetch the files of documents that a pool will index next into FILE_CACHE_DIR, which its workers on this "
        "machine share, until stopped."
    )
    json_help = "with --once: print the numbers as JSON"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--pool", required=True, help="worker pool whose lines are read")
        parser.add_argument("--once", action="store_true", help="fetch the files of the next jobs, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        if not platform_settings.FILE_CACHE_DIR:
            raise CommandError("Set JOBS_PLATFORM_FILE_CACHE_DIR to the folder that the workers use.")
        if options["once"]:
            files, size = fetch_files_ahead(options["pool"])
            self.show(options, {"files": files, "bytes": size}, f"{files} files, {size:,} bytes")
            return
        while True:
            close_old_connections()
            try:
                files, size = fetch_files_ahead(options["pool"])
            except DatabaseError:
                # The link may be cut; the next look opens a new connection.
                logger.warning("file_cache.database_away", exc_info=True)
            else:
                if files:
                    logger.info("file_cache.fetched_ahead", extra={"files": files, "bytes": size})
            time.sleep(PAUSE_SECONDS)
