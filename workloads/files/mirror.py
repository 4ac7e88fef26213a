"""Mirror of stored contents: files of another site's storage, copied under the keys that the rows of this site have.

The database is only read, so this works at a standby. A file is verified by its hash before it is written here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from django.core.files.storage import default_storage

from scheduling.backups.target import open_storage
from tenants.context import all_tenants
from tenants.encryption.data_keys import preload_keys
from tenants.encryption.envelope import DataKey
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import is_sealing
from tenants.encryption.file_seal import existing_file_key
from workloads.files.contents import NewContent, StoredFileError, download, is_whole, tenant_of, write_content
from workloads.files.exceptions import MirrorSourceError, MirrorStorageError, storage_errors
from workloads.files.models import Content
from workloads.files.store import at_once

_ROWS: Final = 200
_FIRST: Final = UUID(int=0)
# A row is committed at most so much later than its id was made.
_MARGIN_MILLISECONDS: Final = 3_600_000
_MILLISECONDS_SHIFT: Final = 80
_NOTE_SECONDS: Final = 10.0
MAX_FAULTS: Final = 20


class _Row(NamedTuple):
    id: UUID
    key: str
    sha256: str
    size_bytes: int


class _Result(NamedTuple):
    """What became of a content that was not here: ``missing`` says why it still is not."""

    missing: str = ""
    is_copied: bool = False


@dataclass(slots=True)
class MirrorRound:
    """Numbers of one round: ``missing`` contents are not here at its end, and ``faults`` says why of the first ones.

    In a dry run ``copied`` is the number of those that would be copied. ``is_whole``: it was not stopped.
    """

    contents: int = 0
    copied: int = 0
    copied_bytes: int = 0
    missing: int = 0
    faults: list[str] = field(default_factory=list)
    is_whole: bool = True
    first_missing: UUID | None = None

    def add(self, row: _Row, result: _Result | None) -> None:
        """Count a content; without a result it was here."""
        self.contents += 1
        if result is None:
            return
        if result.is_copied:
            self.copied += 1
            self.copied_bytes += row.size_bytes
        if result.missing:
            self.missing += 1
            self.first_missing = self.first_missing or row.id
            if len(self.faults) < MAX_FAULTS:
                self.faults.append(f"{row.key}: {result.missing}")


class Mirror:
    """Copies of the contents of one storage, named by a folder or by ``s3://bucket/prefix``, in rounds.

    The first round compares all contents. A further one begins at the first that was missing, or an hour before the
    newest.
    """

    def __init__(self, address: str, *, is_dry: bool = False) -> None:
        self._address, self._is_dry = address, is_dry
        self._source = open_storage(address)
        self._start = _FIRST

    def run_round(self, note: Callable[[str], None], is_stopped: Callable[[], bool] = lambda: False) -> MirrorRound:
        """Copy what is not here and return the numbers; progress is noted every ten seconds.

        Raise MirrorSourceError if the source cannot be read at all, MirrorStorageError if this site's storage refuses.
        """
        self._check_source()
        done, noted_at, newest = MirrorRound(), time.monotonic(), self._start
        total = _count(self._start)
        for page in _pages(self._start):
            missing = done.missing
            for row, result in zip(page, at_once(self._mirror, page), strict=True):
                done.add(row, result)
            newest = page[-1].id
            if done.missing > missing:
                self._check_source()
            if time.monotonic() - noted_at >= _NOTE_SECONDS:
                noted_at = time.monotonic()
                note(f"{done.contents:,} of {total:,} contents: {done.copied:,} copied, {done.missing:,} missing.")
            if is_stopped():
                done.is_whole = False
                return done
        self._start = min(done.first_missing or newest, _before(newest))
        return done

    def _mirror(self, row: _Row) -> _Result | None:
        try:
            if default_storage.exists(row.key) and is_whole(row.key, row.size_bytes):
                return None
            if self._is_dry:
                return self._look_for(row.key)
            with download(row.key, row.sha256, self._source) as copy:
                content = NewContent(row.sha256, row.size_bytes, copy)
                write_content(row.key, content, _seal_key(row.key))
        except StoredFileError as error:
            return _Result(str(error))
        except storage_errors() as error:
            raise MirrorStorageError(values={"error": f"{type(error).__name__}: {error}"}) from error
        return _Result(is_copied=True)

    def _look_for(self, key: str) -> _Result:
        with self._source_errors():
            if self._source.exists(key):
                return _Result("It would be copied.", is_copied=True)
        return _Result("The source has no such file.")

    def _check_source(self) -> None:
        """Raise MirrorSourceError unless the source can be listed: a folder that is not mounted has no files."""
        with self._source_errors():
            self._source.listdir("")

    @contextmanager
    def _source_errors(self) -> Iterator[None]:
        try:
            yield
        except storage_errors() as error:
            values = {"source": self._address, "error": f"{type(error).__name__}: {error}"}
            raise MirrorSourceError(values=values) from error


def _seal_key(key: str) -> DataKey | None:
    """Return the key that encrypts a mirrored file; raise StoredFileError if this site's database has no usable one."""
    try:
        found = existing_file_key(tenant_of(key))
    except DataKeyUnavailableError as error:
        raise StoredFileError(f"The file cannot be encrypted: {error}") from error
    if found is None and is_sealing():
        raise StoredFileError("The tenant has no data key. Run “manage.py encrypt_stored_values” at the active site.")
    return found


def _before(newest: UUID) -> UUID:
    """Return the least id of an hour before an id."""
    milliseconds = (newest.int >> _MILLISECONDS_SHIFT) - _MARGIN_MILLISECONDS
    return UUID(int=max(0, milliseconds) << _MILLISECONDS_SHIFT)


def _count(start: UUID) -> int:
    with all_tenants():
        return Content.objects.filter(pk__gte=start).count()


def _pages(start: UUID) -> Iterator[Sequence[_Row]]:
    """Yield the rows from an id on, each page in a transaction of its own."""
    bound = {"pk__gte": start}
    while True:
        with all_tenants():
            rows = Content.objects.filter(**bound).order_by("pk").values_list("pk", "key", "sha256", "size_bytes")
            page = [_Row(*row) for row in rows[:_ROWS]]
            if is_sealing():
                # The threads that copy have no connection.
                preload_keys(tenant_of(row.key) for row in page)
        if not page:
            return
        yield page
        bound = {"pk__gt": page[-1].id}
