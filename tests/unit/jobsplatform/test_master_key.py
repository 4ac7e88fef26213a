"""The master key of development servers: created once, readable by its owner only, and usable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobsplatform.embedded.master_key import VARIABLE, provide_master_key
from tenants.encryption.master_keys import MasterKeys


def test_key_is_made_once_and_readable_by_its_owner_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path / "var" / "master-key"
    for _ in range(2):
        # Set first, so that monkeypatch undoes what the function sets.
        monkeypatch.setenv(VARIABLE, "")
        monkeypatch.delenv(VARIABLE)
        provide_master_key(kept)
        assert os.environ[VARIABLE] == kept.read_text()
        assert MasterKeys([os.environ[VARIABLE]]).current_id
    assert kept.stat().st_mode & 0o777 == 0o600


def test_configured_key_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, "given")
    provide_master_key(tmp_path / "master-key")
    assert os.environ[VARIABLE] == "given"
    assert not (tmp_path / "master-key").exists()
