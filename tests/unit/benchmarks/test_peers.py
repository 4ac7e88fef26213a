"""The peers that the platform is measured beside."""

from __future__ import annotations

import ast

import pytest
from django.conf import settings

from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.turns import APPS


def names(module: str) -> set[str]:
    """What a module defines at its top; it is not imported, for its packages are not here."""
    tree = ast.parse((APPS / f"{module}.py").read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.module)
def test_each_has_a_task_that_does_nothing_and_a_way_to_enqueue_many(peer: Peer) -> None:
    assert names(peer.module) == {"noop", "enqueue"}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.module)
def test_each_is_installed_at_a_version_that_is_written_down(peer: Peer) -> None:
    pinned = {line.split("==")[0] for line in (settings.BASE_DIR / "requirements-peers.txt").read_text().splitlines()}
    assert peer.package in pinned


def test_each_has_two_workers() -> None:
    for peer in PEERS:
        told = " ".join(peer.workers[0])
        says_two = any(f"{flag}{gap}2" in told for flag in ("-w", "-c", "--processes") for gap in (" ", "="))
        assert len(peer.workers) == 2 or says_two or peer.module == "django_q2"
