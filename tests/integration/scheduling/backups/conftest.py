"""Fixtures of backups: a target in a temporary folder, a master key, and names of databases that are dropped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from scheduling.backups.restore import drop_database
from scheduling.backups.target import Target
from tests.platform_settings import ChangePlatformSettings


def master_key(letter: str) -> str:
    """Return a master key."""
    return base64.b64encode(letter.encode() * 32).decode()


@pytest.fixture(autouse=True)
def backup_keys(change_platform_settings: ChangePlatformSettings) -> None:
    """Set a master key, with which backups are encrypted."""
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master_key("a")])


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """Return an empty target."""
    return Target(str(tmp_path / "backups"))


@pytest.fixture
def new_database(transactional_db: None) -> Iterator[Callable[[], str]]:
    """Return a function that returns names of databases, which are dropped after the test."""
    names: list[str] = []

    def name_one() -> str:
        names.append(f"restored_{uuid4().hex[:8]}")
        return names[-1]

    yield name_one
    for name in names:
        drop_database(name)
