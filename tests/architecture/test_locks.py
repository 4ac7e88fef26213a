"""Advisory locks belong to a transaction and have a class, and no two classes share a key."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.db import connection

from jobsplatform.settings.env import BASE_DIR
from tenants.database.locks import LockClass
from tests.architecture.test_cross_tenant_functions import sources, without_prose
from tests.named_sql import sql_sources

ADVISORY = re.compile(r"\bpg_\w*advisory\w*", re.IGNORECASE)
# In a named statement the class is a parameter: the first of two numbers, or the seed of a hash.
BY_CLASS = re.compile(
    r"\bpg_\w*advisory_xact_lock\w*\((?:%\(\w+_lock\)s::int,|hashtextextended\(.+, %\(\w+_lock\)s(?:::int)?\)\))"
)
# On an administrator's own connection, before there is a database with transactions or a pooler.
OF_A_SESSION = {"tenants/database/bootstrap.py": {"pg_advisory_lock"}}


def find_locks() -> Iterator[tuple[str, set[str]]]:
    for path, source in sources():
        if path != "tenants/database/locks.py" and (found := set(ADVISORY.findall(without_prose(source)))):
            yield path, found


def test_every_lock_is_taken_by_its_class():
    assert dict(find_locks()) == OF_A_SESSION


def test_every_lock_of_a_named_statement_is_taken_by_its_class() -> None:
    counts = {path: (len(ADVISORY.findall(text)), len(BY_CLASS.findall(text))) for path, text in sql_sources()}
    assert {path: found for path, found in counts.items() if found[0] != found[1]} == {}
    assert any(total for total, _ in counts.values())


def test_every_lock_ends_with_its_transaction():
    texts = [
        without_prose((BASE_DIR / "tenants" / "database" / "locks.py").read_text()),
        *(text for _, text in sql_sources()),
    ]
    assert {name for text in texts for name in ADVISORY.findall(text)} == {
        "pg_advisory_xact_lock",
        "pg_advisory_xact_lock_shared",
        "pg_try_advisory_xact_lock",
    }


def test_lock_classes_have_distinct_numbers():
    # An enumeration treats a second name of a number as an alias of the first, so its names are counted.
    assert len(LockClass.__members__) == len({lock.value for lock in LockClass})
    assert [lock.name for lock in LockClass if not 0 < lock.value < 2**31] == []


def test_every_lock_class_is_used():
    used = {name for path, source in sources() for name in re.findall(r"\bLockClass\.([A-Z_]+)", source)}
    assert used == set(LockClass.__members__)


HELD = "SELECT classid, objid, objsubid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"


def key_of(statement: str) -> tuple[int, int, int]:
    """Return the key that PostgreSQL makes of a lock."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {statement}")
        cursor.execute(HELD)
        (key,) = cursor.fetchall()
    return tuple(key)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["''", "'a'", "'0196f0c4-0000-7000-8000-000000000000:a'"])
def test_same_name_is_a_different_lock_in_each_class(name: str):
    with connection.cursor() as cursor:
        for lock in LockClass:
            cursor.execute(f"SELECT {lock.take_named(name)}, {lock.take()}")
        cursor.execute(HELD)
        assert len(set(cursor.fetchall())) == 2 * len(LockClass)


@pytest.mark.django_db
def test_key_of_a_pair_is_its_class_and_number():
    assert key_of(LockClass.TICK.attempt("7")) == (LockClass.TICK, 7, 2)
