"""Peers that the platform is compared with, and the rows of their benchmark."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

import pytest
from django.conf import settings

from benchmarks.harness.jobs import Drained
from benchmarks.peers.benchmark import MERGED, ORDINARY, OURS, Flooded, compare_rates, describe_floods
from benchmarks.peers.playground import APPS, PEERS, Peer

VERSIONS = {peer.package: "1.0" for peer in PEERS}
RATES = {MERGED: 1_000.0, ORDINARY: 200.0, **{peer.name: 400.0 for peer in PEERS}, "huey": 800.0, "Celery, bare": 200.0}


def drains(**changed: float) -> Mapping[str, Sequence[Drained]]:
    rates = RATES | changed
    return {name: [Drained(part * rate, 1e3 / rate, "") for part in (0.5, 1.0, 1.0)] for name, rate in rates.items()}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peer_has_jobs_and_functions_of_both_parts(peer: Peer) -> None:
    # Parsed, not imported: its packages are not in this environment.
    tree = ast.parse((APPS / f"{peer.module}.py").read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert names >= {"noop", "bulk", "quick", "enqueue", "flood", "submit"}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peer_is_pinned(peer: Peer) -> None:
    pinned = {line.split("==")[0] for line in (settings.BASE_DIR / "requirements-peers.txt").read_text().splitlines()}
    assert peer.package in pinned


def test_peers_have_two_workers() -> None:
    for peer in PEERS:
        for setup in (peer.draining, peer.flooded):
            command = " ".join(setup.workers[0])
            assert len(setup.workers) == 2 or any(f"{flag} 2" in command for flag in ("-w", "-c", "--processes"))


def test_medians_are_compared_with_targets() -> None:
    findings = {
        finding.what.removeprefix("no-op jobs per second: "): finding for finding in compare_rates(drains(), VERSIONS)
    }
    assert len(findings) == len(PEERS) + 2
    huey = findings["huey 1.0"]
    assert huey.measured == "800 (400–800), 1.25 ms of CPU a job; platform, merged 1.25×, ordinary 0.25×"
    assert (huey.target, huey.verdict) == ("platform, merged ≥ 1×", "met")
    assert findings["Celery, bare 1.0"].verdict == "met"
    assert findings["Procrastinate 1.0"].verdict == "shown"


def test_slower_platform_misses_targets() -> None:
    missed = [finding.what for finding in compare_rates(drains(**{MERGED: 790.0}), VERSIONS) if not finding.is_met]
    assert missed == ["no-op jobs per second: huey 1.0", "no-op jobs per second: Celery, bare 1.0"]


def test_rows_of_flood_have_no_target() -> None:
    turns = [Flooded(100.0, 5.0, 20.0), Flooded(120.0, 7.0, 40.0)]
    found = dict.fromkeys([OURS, *(peer.name for peer in PEERS)], turns)
    findings = describe_floods(found, VERSIONS)
    assert findings[0].measured == "30.0 (20–40) ms (p50 6.0) with 110 (100–120) jobs/s of all"
    assert {finding.verdict for finding in findings} == {"shown"}
