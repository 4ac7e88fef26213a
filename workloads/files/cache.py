"""Copies of stored contents in a folder of the machine, for all its processes.

A content never changes under its key, so a copy is never outdated, only damaged: its hash is checked at each reading.
A copy is written under another name and renamed once it is whole, so processes that run at once or are killed leave no
partial one. It holds the bytes as they are in the storage. An error of the folder never fails a job: the file is read
from the storage.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Final

from tenants.database.platform_settings import platform_settings
from tenants.encryption.fields import is_sealing

logger = logging.getLogger(__name__)

MIB: Final = 1024 * 1024
# Since its last use. A file that was deleted from the storage is not used any more.
MAX_AGE_SECONDS: Final = 24 * 3600
# A file written for longer was left by a process that was killed.
_PARTIAL_SECONDS: Final = 3600
# What a file counts at least, which bounds the number of files.
_LEAST_BYTES: Final = 16 * 1024
_KEY = re.compile(r"[0-9a-f-]{36}/[0-9a-f]{2}/[0-9a-f]{64}", re.ASCII)
_PARTIAL: Final = "partial"


class FileCache:
    """The copies in one folder, which together take at most ``most_bytes``; the least recently used are deleted.

    Deleting leaves four fifths of the space used, and follows each hundredth of it that a process writes: up to twenty
    processes that write at once stay within it.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self._written = most_bytes

    def has(self, key: str) -> bool:
        """Return whether there is a copy of the content."""
        return _is_key(key) and (self.folder / key).exists()

    def open(self, key: str, sha256: str) -> IO[bytes] | None:
        """Return the copy of a content, verified by its hash; None if there is none. A damaged copy is deleted."""
        if not _is_key(key):
            return None
        path = self.folder / key
        try:
            copy = path.open("rb")
        except OSError:
            return None
        try:
            if hashlib.file_digest(copy, "sha256").hexdigest() == sha256:
                # By the descriptor: another process may have deleted the name. The least recently used are deleted.
                os.utime(copy.fileno())
                copy.seek(0)
                return copy
        except OSError:
            logger.warning("file_cache.not_read", exc_info=True, extra={"path": str(path)})
        copy.close()
        self.drop(key)
        return None

    def add(self, key: str, content: IO[bytes]) -> None:
        """Keep a copy of a verified content; its file is read from the start. Errors of the folder are logged."""
        content.seek(0, os.SEEK_END)
        size = max(_LEAST_BYTES, content.tell())
        if not _is_key(key) or size > self.most_bytes // 10:
            return
        content.seek(0)
        try:
            self._write(self.folder / key, content)
        except OSError:
            logger.warning("file_cache.not_written", exc_info=True, extra={"folder": str(self.folder)})
            return
        self._written += size
        if self._written >= self.most_bytes // 100:
            self.trim()

    def drop(self, key: str) -> None:
        """Delete the copy of a content, if there is one."""
        if _is_key(key):
            _unlink(self.folder / key)

    def trim(self) -> None:
        """Delete copies that were not used for a day, and the least recently used ones beyond four fifths of the space.

        Other processes may do so at once.
        """
        self._written, used, now = 0, 0, time.time()
        for modified_at, size, path in sorted(self._copies(), reverse=True):
            limit = _PARTIAL_SECONDS if path.parent.name == _PARTIAL else MAX_AGE_SECONDS
            used += max(_LEAST_BYTES, size)
            if now - modified_at > limit or used > self.most_bytes // 5 * 4:
                _unlink(path)
                used -= max(_LEAST_BYTES, size)

    def _write(self, path: Path, content: IO[bytes]) -> None:
        partial = self.folder / _PARTIAL
        for folder in (self.folder, partial, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=partial)
        try:
            with os.fdopen(descriptor, "wb") as copy:
                shutil.copyfileobj(content, copy, MIB)
            Path(name).replace(path)
        except BaseException:
            _unlink(Path(name))
            raise

    def _copies(self) -> Iterator[tuple[float, int, Path]]:
        for path in self.folder.rglob("*"):
            try:
                found = path.lstat()
            except OSError:
                continue  # deleted meanwhile
            if path.is_file():
                yield found.st_mtime, found.st_size, path


def file_cache() -> FileCache | None:
    """Return the cache of this machine; None if FILE_CACHE_DIR is empty, or files are encrypted: copies are plain."""
    folder = "" if is_sealing() else platform_settings.FILE_CACHE_DIR
    return _cache_in(folder, platform_settings.FILE_CACHE_MIB) if folder else None


def forget(key: str) -> None:
    """Delete this machine's copy of a content that was deleted; those of other machines go within a day."""
    if (kept := file_cache()) is not None:
        kept.drop(key)


@cache
def _cache_in(folder: str, mib: int) -> FileCache:
    return FileCache(Path(folder), mib * MIB)


def _is_key(key: str) -> bool:
    return _KEY.fullmatch(key) is not None


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        logger.warning("file_cache.not_deleted", exc_info=True, extra={"path": str(path)})
