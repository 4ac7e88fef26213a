"""Simulation of the fair order: jobs arrive at simulated slots, and the dispatcher's own tree picks the next ones.

`replay` runs one policy. Workload files, what-if and the measures of `simulate_fairness` build on it.
"""

from scheduling.fairness.lab.replay import Arrival, SimulatedStart, SimulatedTenant, replay, simulate
from scheduling.fairness.lab.terms import (
    Arrivals,
    EntityShape,
    OrderPolicy,
    Predictor,
    QueueShape,
    Rules,
    Timeline,
    TreeShape,
)

__all__ = [
    "Arrival",
    "Arrivals",
    "EntityShape",
    "OrderPolicy",
    "Predictor",
    "QueueShape",
    "Rules",
    "SimulatedStart",
    "SimulatedTenant",
    "Timeline",
    "TreeShape",
    "replay",
    "simulate",
]
