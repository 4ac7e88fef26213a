"""Conversions from a workload to the scenario of a what-if, and from a scenario to a workload file."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from math import inf

from scheduling.fairness.lab.load import SECOND_US, PlanTerms, PoolScenario, QueueTerms, TenantTerms
from scheduling.fairness.lab.terms import OrderPolicy
from scheduling.fairness.lab.workload import Workload

# Stands for "no cap" where a number is needed.
NO_CAP = 1_000_000
DAY_SECONDS = 86_400.0


def load_of(workload: Workload) -> PoolScenario:
    """Return the workload as a scenario under its first policy; each entry of the file becomes a plan."""
    arrivals = workload.draw_arrivals()
    last_us = max(arrivals.at_us, default=0)
    return PoolScenario(
        pool=workload.title or "workload",
        slots=workload.slots,
        policy=workload.policies[0],
        granularity_seconds=max(1, round(workload.granularity_seconds)),
        queues=[
            QueueTerms(queue.name, queue.weight, None if queue.cap == inf else int(queue.cap), queue.expected_seconds)
            for queue in workload.queues
        ],
        plans={
            row.group: PlanTerms(row.weight, NO_CAP if row.cap == inf else int(row.cap)) for row in workload.tenants
        },
        tenants=[TenantTerms(row.name, row.group) for row in workload.tenants],
        tiers={},
        places=[(row.queue, number) for number, row in enumerate(workload.tenants)],
        arrivals=arrivals,
        seconds=DAY_SECONDS + last_us / SECOND_US if workload.seconds is None else workload.seconds,
        known=[row.is_known for row in workload.tenants],
    )


def write_workload(load: PoolScenario, *, with_names: bool) -> str:
    """Return the scenario as the text of a workload file; tenants are numbered by plan unless ``with_names``."""
    return "\n".join(_lines(load, with_names=with_names)) + "\n"


def _lines(load: PoolScenario, *, with_names: bool) -> Iterator[str]:
    policy = OrderPolicy.CAP if load.policy is OrderPolicy.FIFO else load.policy
    yield f"# Load of the pool {load.pool} in {load.seconds:.0f} s; jobs that ran or waited at the end arrive at 0."
    if load.stands_for > 1:
        yield f"# Every {load.stands_for}th job is included, with the cost of those that it represents."
    yield f"slots = {max(1, load.slots)}"
    yield f'policy = "{policy.value}"'
    yield f"duration = {load.seconds}"
    yield f"granularity = {load.granularity_seconds}"
    for queue in load.queues:
        yield ""
        yield "[[queue]]"
        yield f"name = {json.dumps(queue.name)}"
        yield f"weight = {float(load.queue_weight(queue))}"
        if queue.cap is not None:
            yield f"cap = {queue.cap}"
        yield f"expected_seconds = {queue.expected_seconds}"
    jobs: dict[int, list[str]] = defaultdict(list)
    for place, at_us, cost_us in zip(load.arrivals.entity, load.arrivals.at_us, load.arrivals.cost_us, strict=True):
        jobs[place].append(f"[{at_us / SECOND_US:.6f}, {cost_us / SECOND_US:.6f}]")
    for place, (queue_number, tenant) in enumerate(load.places):
        terms = load.tenants[tenant]
        name = terms.slug if with_names else f"{terms.plan}-{tenant + 1}"
        queue_name = load.queues[queue_number].name
        yield ""
        yield "[[tenant]]"
        # A tenant in several queues is one entry in each; the cap then applies to each entry.
        yield f"name = {json.dumps(f'{name} in {queue_name}')}"
        yield f"queue = {json.dumps(queue_name)}"
        yield f"weight = {max(0.001, load.plans[terms.plan].weight * terms.factor)}"
        yield f"cap = {load.cap_of(terms)}"
        yield 'predicted = "unknown"'
        yield f"arrivals = {{ jobs = [{', '.join(jobs[place])}] }}"
