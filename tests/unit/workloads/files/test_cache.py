"""Copies of contents near the workers: verified, bounded, and never partial."""

from __future__ import annotations

import hashlib
import io
import os
import time
from pathlib import Path
from threading import Thread
from uuid import UUID

import pytest

from workloads.files.cache import MAX_AGE_SECONDS, MIB, FileCache

TENANT = UUID(int=7)
PLACE = 64 * 1024


def key_of(data: bytes) -> tuple[str, str]:
    digest = hashlib.sha256(data).hexdigest()
    return f"{TENANT}/{digest[:2]}/{digest}", digest


def add(cache: FileCache, data: bytes) -> tuple[str, str]:
    key, digest = key_of(data)
    cache.add(key, io.BytesIO(data))
    return key, digest


def read(cache: FileCache, key: str, digest: str) -> bytes | None:
    copy = cache.open(key, digest)
    if copy is None:
        return None
    with copy:
        return copy.read()


def used(cache: FileCache) -> int:
    return sum(path.stat().st_size for path in cache.folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    """Return a cache of 1 MiB in a folder that does not exist yet."""
    return FileCache(tmp_path / "cache", MIB)


def test_added_content_is_read_back_and_others_are_not_there(cache: FileCache) -> None:
    key, digest = add(cache, b"hello")
    assert cache.has(key)
    assert read(cache, key, digest) == b"hello"
    assert read(cache, *key_of(b"other")) is None


def test_copies_are_readable_by_the_owner_only(cache: FileCache) -> None:
    key, _ = add(cache, b"hello")
    assert (cache.folder / key).stat().st_mode & 0o777 == 0o600
    assert cache.folder.stat().st_mode & 0o777 == 0o700


def test_damaged_copy_is_deleted_and_not_returned(cache: FileCache) -> None:
    key, digest = add(cache, b"hello")
    (cache.folder / key).write_bytes(b"hellO")
    assert read(cache, key, digest) is None
    assert not cache.has(key)


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", f"{TENANT}/aa/../../x", "", f"{TENANT}/aa/" + "g" * 64])
def test_key_of_another_form_is_never_a_path(cache: FileCache, key: str) -> None:
    cache.add(key, io.BytesIO(b"hello"))
    assert not cache.has(key)
    assert cache.open(key, hashlib.sha256(b"hello").hexdigest()) is None
    cache.drop(key)
    assert used(cache) == 0


def test_least_recently_used_copies_are_deleted_beyond_the_space(cache: FileCache) -> None:
    first = add(cache, os.urandom(PLACE))
    others = []
    for number in range(40):
        others.append(add(cache, os.urandom(PLACE)))
        # Later than the last one, whatever the resolution of the file system's clock.
        os.utime(cache.folder / others[-1][0], (time.time() - 1_000 + number, time.time() - 1_000 + number))
        assert read(cache, *first) is not None
        assert used(cache) <= cache.most_bytes
    assert not cache.has(others[0][0])
    assert cache.has(others[-1][0])


def test_content_of_more_than_a_tenth_of_the_space_is_not_kept(cache: FileCache) -> None:
    key, _ = add(cache, bytes(MIB // 10 + 1))
    assert not cache.has(key)


def test_copy_that_was_not_used_for_a_day_is_deleted(cache: FileCache) -> None:
    old, young = add(cache, b"old"), add(cache, b"young")
    before = time.time() - MAX_AGE_SECONDS - 1
    os.utime(cache.folder / old[0], (before, before))
    cache.trim()
    assert (cache.has(old[0]), cache.has(young[0])) == (False, True)


def test_file_of_a_killed_process_is_deleted_after_an_hour_and_never_read(cache: FileCache) -> None:
    add(cache, b"hello")
    partial = cache.folder / "partial" / "left"
    partial.write_bytes(b"hel")
    cache.trim()
    assert partial.exists()
    os.utime(partial, (time.time() - 3_601, time.time() - 3_601))
    cache.trim()
    assert not partial.exists()


def test_error_of_the_folder_fails_nothing(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"")
    cache = FileCache(place, MIB)
    key, digest = add(cache, b"hello")
    assert read(cache, key, digest) is None
    cache.trim()
    cache.drop(key)


def test_open_copy_is_read_although_another_process_deletes_it(cache: FileCache) -> None:
    key, digest = add(cache, b"hello")
    copy = cache.open(key, digest)
    assert copy is not None
    cache.drop(key)
    with copy:
        assert copy.read() == b"hello"


def test_concurrent_writers_and_readers_see_whole_contents_only(tmp_path: Path) -> None:
    contents = [os.urandom(PLACE) for _ in range(20)]
    wrong: list[bytes] = []

    def work() -> None:
        # Each as a process of its own: they share the folder alone.
        cache = FileCache(tmp_path, MIB)
        for data in contents * 3:
            add(cache, data)
            found = read(cache, *key_of(data))
            if found not in (None, data):
                wrong.append(data)
            cache.trim()

    threads = [Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert used(FileCache(tmp_path, MIB)) <= MIB
