"""Workload files: TOML, validated with a JSON Schema; every fault is reported with its place in the file."""

from __future__ import annotations

import csv
import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from scheduling.fairness.lab.terms import OrderPolicy
from scheduling.fairness.lab.workload import (
    MOST_JOBS,
    ArrivalPattern,
    Distribution,
    TracedJob,
    Workload,
    WorkloadQueue,
    WorkloadTenant,
)

SCHEMA_FILE = Path(__file__).with_name("workload.schema.json")
MOST_BYTES = 20_000_000
# The most faults that are listed.
MOST_FAULTS = 20
MOST_TENANTS = 100_000


class WorkloadInvalidError(ValueError):
    """The error for an invalid workload file; ``faults`` are lines such as "tenant 2 (acme).weight: …"."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


def load_workload(path: Path) -> Workload:
    """Read the workload from the file at ``path``; raise WorkloadInvalidError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise WorkloadInvalidError([f"{path}: larger than {MOST_BYTES:,} bytes"])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise WorkloadInvalidError([f"{path}: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise WorkloadInvalidError([f"{path}: not UTF-8 at byte {error.start}"]) from error
    return parse_workload(text, folder=path.parent)


def parse_workload(text: str, *, folder: Path) -> Workload:
    """Parse the workload from ``text``; traces are read from ``folder``. Raise WorkloadInvalidError."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise WorkloadInvalidError([f"not TOML: {error}"]) from error
    if faults := _find_faults(document):
        raise WorkloadInvalidError(faults[:MOST_FAULTS])
    queues = [_read_queue(row) for row in document.get("queue", [{"name": "default"}])]
    numbers = {queue.name: number for number, queue in enumerate(queues)}
    tenants = [
        tenant for place, row in enumerate(document["tenant"]) for tenant in _read_tenant(place, row, numbers, folder)
    ]
    if faults := _find_contradictions(document, queues, tenants):
        raise WorkloadInvalidError(faults[:MOST_FAULTS])
    return Workload(
        slots=document["slots"],
        tenants=tenants,
        queues=queues,
        policies=_policies(document),
        seed=document.get("seed", 0),
        seconds=document.get("duration"),
        jobs=document.get("jobs"),
        granularity_seconds=document.get("granularity", 120.0),
        title=document.get("title", ""),
        target=document.get("target", ""),
    )


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


def _find_faults(document: Mapping[str, Any]) -> list[str]:
    # TOML has nan and inf, on which a schema's comparisons fail.
    faults = [f"{_place(document, path)}: not a finite number" for path in _find_infinite(document, ())]
    if faults:
        return faults
    errors = sorted(_validator().iter_errors(document), key=lambda error: [str(part) for part in error.absolute_path])
    return [f"{_place(document, error.absolute_path)}: {error.message[:300]}" for error in errors]


def _find_infinite(value: Any, path: tuple[str | int, ...]) -> Iterable[tuple[str | int, ...]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    children: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for name, child in children:
        yield from _find_infinite(child, (*path, name))


def _place(document: Any, path: Iterable[str | int]) -> str:
    """Return the place of a fault, such as `tenant 2 (acme).cost.pareto.alpha`; tables of a list are counted from 1."""
    words, value = "", document
    for part in path:
        value = value[part]
        if isinstance(part, int):
            name = value.get("name") if isinstance(value, dict) else None
            words += f" {part + 1}" + (f" ({name[:50]})" if isinstance(name, str) else "")
        else:
            words += f".{part}" if words else part
    return words or "the file"


def _policies(document: Mapping[str, Any]) -> Sequence[OrderPolicy]:
    names = document.get("policies") or [document.get("policy", OrderPolicy.CFS)]
    return [OrderPolicy(name) for name in names]


def _read_queue(row: Mapping[str, Any]) -> WorkloadQueue:
    return WorkloadQueue(row["name"], row.get("weight", 1.0), row.get("cap", inf), row.get("expected_seconds", 1.0))


def _read_tenant(
    place: int, row: Mapping[str, Any], queues: Mapping[str, int], folder: Path
) -> Iterable[WorkloadTenant]:
    where = f"tenant {place + 1} ({row['name'][:50]})"
    first_queue = next(iter(queues))
    queue = row.get("queue", first_queue)
    if queue not in queues:
        raise WorkloadInvalidError([f"{where}.queue: there is no queue {queue!r}"])
    arrivals, keys = row["arrivals"], row.get("keys", {})
    trace = [_traced(job) for job in arrivals.get("jobs", ())]
    if "trace" in arrivals:
        trace += _read_trace(where, folder / arrivals["trace"])
    number = row.get("count", 1)
    for copy in range(number):
        yield WorkloadTenant(
            name=row["name"] if number == 1 else f"{row['name']}-{copy + 1}",
            group=row["name"],
            arrivals=ArrivalPattern(
                backlog=arrivals.get("backlog", 0),
                poisson=arrivals.get("poisson"),
                bursts=_numbers(arrivals.get("bursts"), "size", "every"),
                on_off=_numbers(arrivals.get("on_off"), "rate", "on", "off"),
                trace=trace,
            ),
            queue=queues[queue],
            weight=row.get("weight", 1.0),
            cap=row.get("cap", inf),
            from_seconds=row.get("from", 0.0),
            until_seconds=row.get("until", inf),
            cost=_distribution(row.get("cost", {"constant": 1.0})),
            is_known=row.get("predicted", "known") == "known",
            size=_distribution(row["payload_bytes"]) if "payload_bytes" in row else None,
            seconds_per_mib=row.get("seconds_per_mib", 0.0),
            key_weights=_key_weights(keys.get("number", 0), keys.get("distribution", "even")),
        )


def _numbers(table: Mapping[str, Any] | None, *names: str) -> Any:
    return None if table is None else tuple(table[name] for name in names)


def _distribution(table: Mapping[str, Any]) -> Distribution:
    ((name, parameters),) = table.items()
    return Distribution(name, parameters)


def _key_weights(number: int, distribution: str) -> Sequence[float]:
    return [1.0 if distribution == "even" else 1 / rank for rank in range(1, number + 1)]


def _read_trace(where: str, path: Path) -> Sequence[TracedJob]:
    """Return the jobs of a CSV file of `at seconds,cost seconds[,payload bytes]`, in any order.

    A heading is optional.
    """
    jobs: list[TracedJob] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.reader(file), 1):
                if not row or (line == 1 and row[0].strip() == "at"):
                    continue
                if len(jobs) >= MOST_JOBS:
                    raise WorkloadInvalidError([f"{where}.arrivals.trace: more than {MOST_JOBS:,} jobs"])
                jobs.append(_read_traced_job(f"{where}.arrivals.trace: {path.name} line {line}", row))
    except OSError as error:
        raise WorkloadInvalidError([f"{where}.arrivals.trace: {path}: {error.strerror or error}"]) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise WorkloadInvalidError([f"{where}.arrivals.trace: {path}: {error}"]) from error
    return jobs


def _read_traced_job(where: str, row: Sequence[str]) -> TracedJob:
    try:
        numbers = [float(cell) for cell in row]
    except ValueError as error:
        raise WorkloadInvalidError([f"{where}: {error}"]) from error
    if len(numbers) not in {2, 3} or not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise WorkloadInvalidError([f"{where}: not `at,cost` or `at,cost,bytes` with numbers from 0"])
    return _traced(numbers)


def _traced(numbers: Sequence[float]) -> TracedJob:
    return TracedJob(numbers[0], numbers[1], round(numbers[2]) if len(numbers) == 3 else 0)


def _find_contradictions(
    document: Mapping[str, Any], queues: Sequence[WorkloadQueue], tenants: Sequence[WorkloadTenant]
) -> list[str]:
    """Return the faults that each field allows and all together do not."""
    faults = [f"queue: {name!r} appears more than once" for name in _find_repeated(queue.name for queue in queues)]
    faults += [f"tenant: {name!r} appears more than once" for name in _find_repeated(row.name for row in tenants)]
    if len(tenants) > MOST_TENANTS:
        faults.append(f"tenant: more than {MOST_TENANTS:,} in all")
    if "policy" in document and "policies" in document:
        faults.append("the file: name `policy` or `policies`, not both")
    if "duration" not in document and any(row.arrivals.is_endless and row.until_seconds == inf for row in tenants):
        faults.append("the file: jobs would arrive for ever; set a `duration`")
    for row in tenants:
        for field, draws in (("cost", row.cost), ("payload_bytes", row.size)):
            if draws is not None and draws.name == "uniform" and draws.parameters[0] > draws.parameters[1]:
                low, high = draws.parameters
                faults.append(f"tenant ({row.name}).{field}.uniform: {low} is greater than {high}")
    return faults


def _find_repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for name in names:
        if name in seen:
            repeated[name] = None
        seen.add(name)
    return list(repeated)
