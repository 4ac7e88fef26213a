"""Where servers without durability keep their data."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobsplatform.embedded import servers


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let a folder with room stand for the memory."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(servers, "MEMORY", tmp_path)
    monkeypatch.setattr(servers, "MEMORY_BYTES", 1)
    return tmp_path


@pytest.mark.usefixtures("memory")
def test_memory_with_room_is_used() -> None:
    assert servers.has_room_in_memory()


@pytest.mark.usefixtures("memory")
def test_memory_without_room_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "MEMORY_BYTES", 2**62)
    assert not servers.has_room_in_memory()


def test_missing_memory_is_not_used(monkeypatch: pytest.MonkeyPatch, memory: Path) -> None:
    monkeypatch.setattr(servers, "MEMORY", memory / "missing")
    assert not servers.has_room_in_memory()


@pytest.mark.usefixtures("memory")
def test_chosen_folder_has_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert not servers.has_room_in_memory()
