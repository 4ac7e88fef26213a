"""Pure parts of backups: names, retention, differences, and the encryption of parts."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from scheduling.backups.rules import backup_name, differing_tables, is_due, select_expired
from tenants.encryption.chunks import CHUNK_BYTES, ChunkDamagedError, decrypt, encrypt

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
SECRET = b"s" * 32
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 5]


def _days(*numbers: int) -> list[datetime]:
    return [NOW - timedelta(days=number) for number in numbers]


def test_names_sort_by_time() -> None:
    names = [backup_name(moment, UUID(int=number)) for number, moment in enumerate(reversed(_days(0, 1, 400)))]
    assert names == sorted(names)


def test_expired_backups_are_older_than_the_time_and_not_among_the_newest() -> None:
    assert select_expired(_days(1, 2, 40, 50), keep=timedelta(days=30), least=1, now=NOW) == _days(40, 50)
    assert select_expired(_days(1, 40, 50), keep=timedelta(days=30), least=2, now=NOW) == _days(50)
    assert select_expired(_days(40, 50), keep=timedelta(days=30), least=3, now=NOW) == []


def test_backup_is_due_without_a_last_one_and_after_its_interval() -> None:
    assert is_due(None, timedelta(hours=1), NOW)
    assert is_due(NOW - timedelta(hours=1), timedelta(hours=1), NOW)
    assert not is_due(NOW - timedelta(minutes=59), timedelta(hours=1), NOW)


def test_difference_names_tables_with_both_numbers() -> None:
    assert differing_tables({"a": 1, "b": 2, "c": 0}, {"a": 1, "b": 1, "d": 4}) == ["b (2 / 1)", "d (0 / 4)"]


def _encrypted(size: int) -> bytes:
    return b"".join(encrypt([b"x" * size], SECRET, "part"))


def _decrypted(data: bytes, *, secret: bytes = SECRET, part: str = "part") -> bytes:
    return b"".join(decrypt(io.BytesIO(data), secret, part))


@pytest.mark.parametrize("size", SIZES)
def test_decryption_returns_what_was_encrypted(size: int) -> None:
    assert _decrypted(_encrypted(size)) == b"x" * size


def test_pieces_of_any_size_give_the_same_chunks() -> None:
    pieces = [b"x" * 1_000] * 2_100
    assert b"".join(encrypt(pieces, SECRET, "part")) == _encrypted(2_100_000)


@pytest.mark.parametrize("size", SIZES)
def test_flipped_byte_is_found(size: int) -> None:
    data = bytearray(_encrypted(size))
    data[len(data) // 2] ^= 1
    with pytest.raises(ChunkDamagedError):
        _decrypted(bytes(data))


def test_chunks_that_are_cut_moved_or_of_another_part_or_key_are_found() -> None:
    data, chunk = _encrypted(2 * CHUNK_BYTES + 5), CHUNK_BYTES + 16
    for changed in (data[: 2 * chunk], data[chunk:], data[chunk : 2 * chunk] + data[:chunk] + data[2 * chunk :], b""):
        with pytest.raises(ChunkDamagedError):
            _decrypted(changed)
    with pytest.raises(ChunkDamagedError):
        _decrypted(data, part="another")
    with pytest.raises(ChunkDamagedError):
        _decrypted(data, secret=b"t" * 32)
