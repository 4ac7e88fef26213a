"""Fetching of files ahead of the jobs that will read them, into the `FileCache` of the machine."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from workloads.files.cache import file_cache
from workloads.files.contents import StoredFileError
from workloads.files.store import StoredContent, fetch

logger = logging.getLogger(__name__)


def fetch_ahead(contents: Iterable[StoredContent], *, most_bytes: int) -> tuple[int, int]:
    """Copy contents into the machine's `FileCache`, the first ones first and ``most_bytes`` at most.

    Return the number of files and of bytes that were fetched. A file that cannot be read is left to its job.
    """
    files, size, kept = 0, 0, file_cache()
    for content in contents:
        if kept is None or kept.has(content.key) or size + content.size_bytes > most_bytes:
            continue
        try:
            fetch(content.key, content.sha256).close()
        except StoredFileError:
            logger.warning("file_cache.not_fetched", exc_info=True, extra={"key": content.key})
            continue
        files, size = files + 1, size + content.size_bytes
    return files, size
