"""Workload files: faults are reported with their position, and valid files are reproducible."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from benchmarks.fairness.simulated import NAMES, WORKLOADS, load_row, measure_row
from scheduling.fairness.lab import OrderPolicy
from scheduling.fairness.lab.measures import measure_workload
from scheduling.fairness.lab.report import describe, render_table
from scheduling.fairness.lab.share_plot import draw_shares
from scheduling.fairness.lab.workload import Workload
from scheduling.fairness.lab.workload_file import WorkloadInvalidError, load_workload, parse_workload

TENANT = '[[tenant]]\nname = "acme"\narrivals = { backlog = 3 }\n'
BASE = f"slots = 2\nduration = 10\n{TENANT}"
# Every arrival pattern and every distribution.
EVERYTHING = """
title = "Everything"
slots = 3
policies = ["fifo", "round_robin", "cap", "cfs", "time_slice"]
seed = 9
duration = 120
granularity = 2
[[queue]]
name = "left"
weight = 2
[[queue]]
name = "right"
cap = 2
[[tenant]]
name = "constant"
arrivals = { backlog = 20, poisson = 0.5 }
cost = { constant = 1.5 }
[[tenant]]
name = "uniform"
queue = "right"
weight = 2.5
arrivals = { bursts = { size = 5, every = 20 } }
cost = { uniform = [0.5, 2.0] }
keys = { number = 4, distribution = "zipf" }
[[tenant]]
name = "exponential"
count = 2
cap = 1
arrivals = { on_off = { rate = 2.0, on = 10, off = 20 } }
cost = { exponential = 0.7 }
predicted = "unknown"
[[tenant]]
name = "lognormal"
from = 5
until = 60
arrivals = { poisson = 1.0 }
cost = { lognormal = { median = 0.5, sigma = 1.2 } }
payload_bytes = { uniform = [1000, 2000000] }
seconds_per_mib = 0.5
predicted = "unknown"
[[tenant]]
name = "pareto"
arrivals = { poisson = 1.0 }
cost = { pareto = { minimum = 0.1, alpha = 1.1, maximum = 30 } }
[[tenant]]
name = "empirical"
arrivals = { trace = "trace.csv", poisson = 0.2 }
cost = { empirical = [0.1, 0.1, 5.0] }
"""
TRACE = "at,cost,bytes\n3,1.5,100\n1,0.5\n"
# Digest of all numbers of the file above. It is the same on every Python, and changes with the order or the draws.
DIGEST = "b6e1e50b92da7197f0388acee29cae79e5b577bdd9f16c7ecf3451488e1d28f1"


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    (tmp_path / "trace.csv").write_text(TRACE)
    path = tmp_path / "everything.toml"
    path.write_text(EVERYTHING)
    return path


def parse(text: str, folder: Path = Path()) -> Workload:
    return parse_workload(text, folder=folder)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("slots = ", "not TOML: Invalid value (at "),
        ("slots = 1\nslots = 2", "not TOML: Cannot overwrite a value (at "),
        ("", "the file: 'slots' is a required property"),
        ("slots = 2", "the file: 'tenant' is a required property"),
        (f"slots = 0\n{TENANT}", "slots: 0 is less than the minimum of 1"),
        (f"slots = 2.5\n{TENANT}", "slots: 2.5 is not of type 'integer'"),
        (f"slots = true\n{TENANT}", "slots: True is not of type 'integer'"),
        (f"slots = 2\nslot = 3\n{TENANT}", "the file: Additional properties are not allowed ('slot' was unexpected)"),
        (f'slots = 2\npolicy = "best"\n{TENANT}', "policy: 'best' is not one of"),
        (f'slots = 2\npolicy = "cfs"\npolicies = ["cfs"]\n{TENANT}', "name `policy` or `policies`, not both"),
        (f"{BASE}wieght = 2", "tenant 1 (acme): Additional properties are not allowed ('wieght' was unexpected)"),
        (f"{BASE}weight = -1", "tenant 1 (acme).weight: -1 is less than the minimum of 0.001"),
        (f"{BASE}weight = nan", "tenant 1 (acme).weight: not a finite number"),
        (f"{BASE}weight = inf", "tenant 1 (acme).weight: not a finite number"),
        (f"{BASE}from = 1979-05-27", "tenant 1 (acme).from: datetime.date(1979, 5, 27) is not of type 'number'"),
        (f"{BASE}cost = {{}}", "tenant 1 (acme).cost: {} "),
        (f"{BASE}cost = {{ constant = 1, exponential = 2 }}", "tenant 1 (acme).cost: {'constant': 1, 'exponential'"),
        (f"{BASE}cost = {{ pareto = {{ minimum = 1 }} }}", "tenant 1 (acme).cost.pareto: 'alpha' is a required"),
        (f"{BASE}cost = {{ uniform = [3, 2] }}", "tenant (acme).cost.uniform: 3 is greater than 2"),
        (f"{BASE}cost = {{ uniform = [1] }}", "tenant 1 (acme).cost.uniform: [1] is too short"),
        (f"{BASE}cost = {{ empirical = [1, 'x'] }}", "tenant 1 (acme).cost.empirical 2: 'x' is not of type 'number'"),
        (f"{BASE}payload_bytes = {{ uniform = [3, 2] }}", "tenant (acme).payload_bytes.uniform: 3 is greater than 2"),
        (f'{BASE}queue = "moon"', "tenant 1 (acme).queue: there is no queue 'moon'"),
        (f"{BASE}{TENANT}", "tenant: 'acme' appears more than once"),
        (f'{BASE}[[queue]]\nname = "a"\n[[queue]]\nname = "a"', "queue: 'a' appears more than once"),
        (f'{BASE}[[tenant]]\nname = ""\narrivals = {{ backlog = 1 }}', "tenant 2 ().name: '' should be non-empty"),
        ('slots = 1\n[[tenant]]\nname = "a"\narrivals = { poisson = 1 }', "jobs would arrive for ever"),
        ('slots = 1\n[[tenant]]\nname = "a"\narrivals = {}', "tenant 1 (a).arrivals: {} "),
        ('slots = 1\n[[tenant]]\nname = "a"\narrivals = { trace = "gone.csv" }', "gone.csv: No such file"),
        ("slots = 1\n[[tenant]]\nname = 3\narrivals = { backlog = 1 }", "tenant 1.name: 3 is not of type 'string'"),
    ],
)
def test_fault_is_reported_with_its_position(text: str, fault: str) -> None:
    with pytest.raises(WorkloadInvalidError) as refused:
        parse(text)
    assert fault in str(refused.value)


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(WorkloadInvalidError) as refused:
        parse(f"slots = 0\nseed = -1\n{TENANT}weight = 0")
    assert len(refused.value.faults) == 3


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("1,2\nx,2", "trace.csv line 2: could not convert string to float: 'x'"),
        ("1", "trace.csv line 1: not `at,cost`"),
        ("1,-2", "trace.csv line 1: not `at,cost`"),
        ("1,nan", "trace.csv line 1: not `at,cost`"),
    ],
)
def test_invalid_line_of_a_trace_is_reported(tmp_path: Path, lines: str, fault: str) -> None:
    (tmp_path / "trace.csv").write_text(lines)
    with pytest.raises(WorkloadInvalidError) as refused:
        parse('slots = 1\n[[tenant]]\nname = "a"\narrivals = { trace = "trace.csv" }', tmp_path)
    assert fault in str(refused.value)


def test_unreadable_file_is_reported(tmp_path: Path) -> None:
    for path, fault in ((tmp_path, "Is a directory"), (tmp_path / "gone.toml", "No such file")):
        with pytest.raises(WorkloadInvalidError, match=fault):
            load_workload(path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(WorkloadInvalidError, match="not UTF-8"):
        load_workload(tmp_path / "bytes.toml")


def test_missing_key_has_its_default() -> None:
    workload = parse(BASE)
    assert (workload.policies, workload.seed, workload.granularity_seconds) == ([OrderPolicy.CFS], 0, 120.0)
    arrivals = workload.draw_arrivals()
    assert (list(arrivals.at_us), list(arrivals.cost_us)) == ([0, 0, 0], [1_000_000] * 3)


def test_trace_defines_times_and_costs(everything: Path) -> None:
    workload = load_workload(everything)
    (number,) = [number for number, row in enumerate(workload.tenants) if row.name == "empirical"]
    traced = [(job.at_seconds, job.cost_seconds, job.size) for job in workload.tenants[number].arrivals.trace]
    assert traced == [(3.0, 1.5, 100), (1.0, 0.5, 0)]


def test_additional_tenant_changes_no_job_of_other_tenants(everything: Path) -> None:
    def jobs_of_others(text: str) -> list[tuple[int, int]]:
        workload = parse(text, everything.parent)
        arrivals = workload.draw_arrivals()
        names = [row.name for row in workload.tenants]
        rows = zip(arrivals.entity, arrivals.at_us, arrivals.cost_us, strict=True)
        return [(at, cost) for entity, at, cost in rows if names[entity] != "new"]

    new = '[[tenant]]\nname = "new"\narrivals = { poisson = 3 }\ncost = { exponential = 1 }\n'
    before, after = jobs_of_others(EVERYTHING), jobs_of_others(EVERYTHING + new)
    assert sorted(before) == sorted(after)
    assert jobs_of_others(EVERYTHING.replace("seed = 9", "seed = 10")) != before


def as_text(path: Path) -> str:
    workload = load_workload(path)
    measures = measure_workload(workload)
    facts = describe(workload, measures, slots=workload.slots)
    return json.dumps(facts) + "\n".join(render_table(workload, measures, slots=3)) + draw_shares("all", measures)


def test_seed_reproduces_every_byte_on_every_python(everything: Path) -> None:
    assert as_text(everything) == as_text(everything)
    assert hashlib.sha256(as_text(everything).encode()).hexdigest() == DIGEST


def test_policies_neither_lose_nor_duplicate_jobs(everything: Path) -> None:
    workload = load_workload(everything)
    arrived = len(workload.draw_arrivals())
    for measure in measure_workload(workload):
        assert measure.starts + sum(row.unstarted for row in measure.tenants) == arrived
        assert sum(row.share for row in measure.tenants) == pytest.approx(1)
        assert sum(row.entitled_share for row in measure.tenants) == pytest.approx(1)
        if measure.policy is not OrderPolicy.FIFO:
            assert measure.busy_while_wanted is None or measure.busy_while_wanted > 0.9


def test_chart_is_valid_svg_with_title_and_description(everything: Path) -> None:
    workload = load_workload(everything)
    root = ET.fromstring(draw_shares("<&> all", measure_workload(workload)))
    kind = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    assert root.find(f"{kind}title").text == "<&> all"
    described = root.find(f"{kind}desc").text
    assert all(f"Under {policy.value}:" in described for policy in workload.policies)
    # A line for the received and one for the entitled share of each tenant, in each panel.
    assert len(root.findall(f"{kind}polyline")) == 2 * len(workload.tenants) * len(workload.policies)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in {"quiet_tenant_behind_1000000", "ten_thousand_tenants"}]
)
def test_targets_are_met_in_simulation(name: str) -> None:
    row = measure_row(name)
    assert row.is_met, f"{row.text}; the target is {row.target}"


def test_every_workload_of_the_benchmarks_is_a_valid_row() -> None:
    rows = [load_row(name) for name in NAMES]
    assert {file for file, _ in rows} == set(WORKLOADS.glob("*.toml"))
    for file, workload in rows:
        assert load_workload(file).seed == workload.seed
        assert workload.title
        assert workload.target


def test_rows_of_the_quiet_tenant_differ_in_the_backlog() -> None:
    rows = [load_row(name)[1] for name in NAMES if name.startswith("quiet_tenant_behind_")]
    assert [row.tenants[0].arrivals.backlog for row in rows] == [1_000, 100_000, 1_000_000]


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a separate process, with an unavailable database and broker."""
    away = {
        "DATABASE_URL": "postgres://unused@127.0.0.1:1/none",
        "DATABASE_OWNER_URL": "postgres://unused@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    command = [sys.executable, "-W", "ignore", "manage.py", "simulate_fairness", *arguments]
    return subprocess.run(
        command, cwd=settings.BASE_DIR, env=os.environ | away, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.process
def test_command_works_without_database_and_broker(everything: Path, tmp_path: Path) -> None:
    picture = tmp_path / "out.svg"
    done = run_command(str(everything), "--json", "--policy", "cfs", "--slots", "2", "--plot", str(picture))
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert [row["policy"] for row in facts["policies"]] == ["cfs"]
    assert facts["slots"] == 2
    assert ET.parse(picture).getroot().get("role") == "img"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gone.toml", {}),
        ("bad.toml", {}),
        ("good.toml", {"slots": 0}),
        ("good.toml", {"plot": Path("/nowhere/out.svg")}),
    ],
)
def test_invalid_command_exits_with_status_2(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    (tmp_path / "good.toml").write_text(BASE)
    (tmp_path / "bad.toml").write_text(f"{BASE}wieght = 2")
    with pytest.raises(CommandError) as refused:
        call_command("simulate_fairness", tmp_path / name, stdout=StringIO(), **options)
    assert refused.value.returncode == 2
