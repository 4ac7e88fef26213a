"""The world of the access table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import override_settings

from jobsplatform import urls
from tests.integration.access.world import MASTER_KEY, World, make_world
from tests.platform_settings import override_platform_settings


@pytest.fixture
def world(db: None, tmp_path: Path) -> Iterator[World]:
    """Return tenants, roles and rows; delete uploaded files at the end."""
    values = {"ENCRYPTION_MASTER_KEYS": [MASTER_KEY], "ARCHIVE": str(tmp_path)}
    (tmp_path / "pack.zip").write_bytes(b"pack")
    with override_settings(MEDIA_ROOT=tmp_path), override_platform_settings(**values):
        world = make_world()
        with connection.cursor() as cursor:
            # A test's transaction outlives the settings that some services set for theirs.
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield world


@pytest.fixture
def bare_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer refusals without the console's layout: rendering it takes longer than deciding on the refusal."""
    for status in (403, 404):
        monkeypatch.setattr(urls, f"handler{status}", lambda *_, status=status, **__: HttpResponse(status=status))
