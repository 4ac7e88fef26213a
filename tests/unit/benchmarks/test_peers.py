"""The peers that the platform is measured beside, and what is kept of their turns."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from django.conf import settings

from benchmarks.harness.parts import MeasureFailedError
from benchmarks.peers import kept, table
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.kept import Run, begin_run
from benchmarks.peers.playground import APPS

VERSIONS = {peer.package: "1.0" for peer in PEERS}
RATES = {table.MERGED: 1_000.0, table.ALONE: 200.0, "huey": 800.0, "Celery, bare": 200.0}


def names(module: str) -> set[str]:
    """What a module defines for others at its top; it is not imported, for its packages are not here."""
    tree = ast.parse((APPS / f"{module}.py").read_text())
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {name for name in functions if not name.startswith("_")}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(kept, "FILE", tmp_path / "throughput.json")
    monkeypatch.setattr(kept, "RESULTS", tmp_path)
    monkeypatch.setattr(kept, "describe_machine", lambda: "a machine")
    return begin_run(VERSIONS, resume=False)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.module)
def test_each_has_a_task_that_does_nothing_and_a_way_to_enqueue_many(peer: Peer) -> None:
    assert names(peer.module) == {"noop", "enqueue"}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.module)
def test_each_has_a_task_of_the_flood_and_one_of_quiet_tenants(peer: Peer) -> None:
    assert names(f"flooded/{peer.module}") == {"bulk", "quick", "flood", "submit"}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.module)
def test_each_is_installed_at_a_version_that_is_written_down(peer: Peer) -> None:
    pinned = {line.split("==")[0] for line in (settings.BASE_DIR / "requirements-peers.txt").read_text().splitlines()}
    assert peer.package in pinned


def test_each_has_two_workers() -> None:
    for peer in PEERS:
        for setup in (peer.draining, peer.flooded):
            told = " ".join(setup.workers[0].words)
            says_two = any(f"{flag}{gap}2" in told for flag in ("-w", "-c", "--processes") for gap in (" ", "="))
            assert len(setup.workers) == 2 or says_two or peer.module == "django_q2"


def test_medians_are_held_against_the_targets(run: Run) -> None:
    for name, rate in RATES.items():
        for share in (0.5, 1.0, 1.0):
            run.keep(table.DRAIN, name, {"rate": rate * share})
    outcome = table.draw(run)
    assert (outcome.is_met, outcome.verdict) == (True, "met")
    assert ["huey 1.0", "nothing", "800", "400–800", "1.25×", "0.25×"] in outcome.rows


def test_what_was_not_measured_is_missed(run: Run) -> None:
    run.keep(table.DRAIN, table.MERGED, {"rate": 1.0})
    outcome = table.draw(run)
    assert not outcome.is_met
    assert "merged: – huey of 1×" in outcome.verdict


def test_a_run_that_was_cut_off_is_gone_on_with(run: Run) -> None:
    run.keep(table.FLOOD, "huey", {"rate": 1.0, "p50": 2.0, "p99": 3.0})
    assert begin_run(VERSIONS, resume=True).of(table.FLOOD, "huey") == [{"rate": 1.0, "p50": 2.0, "p99": 3.0}]
    assert begin_run(VERSIONS, resume=False).of(table.FLOOD, "huey") == []


def test_a_run_with_other_versions_is_not_gone_on_with(run: Run) -> None:
    run.keep(table.DRAIN, "huey", {"rate": 1.0})
    with pytest.raises(MeasureFailedError, match="other versions"):
        begin_run({**VERSIONS, "huey": "2.0"}, resume=True)
