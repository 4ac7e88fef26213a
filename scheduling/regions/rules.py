"""Pure rules of residency: in which regions a job may run, and which of them is nearest to its tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Residency:
    """The home region of a tenant, empty without one, and the regions that may run its jobs, the nearest first.

    Without allowed regions every pool may run them; with some, a pool without a region may not. ``also_in``: the region
    must be one of these, too, unless it is empty.
    """

    home: str = ""
    allowed: Sequence[str] = ()
    also_in: Sequence[str] = ()

    def allows(self, region: str) -> bool:
        """Return whether a pool of the region may run the jobs; ``region`` is empty for a pool without one."""
        return (not self.allowed or region in self.allowed) and (not self.also_in or region in self.also_in)

    def all_allowed(self) -> Sequence[str]:
        """Return the regions that are allowed, the nearest first; empty without a restriction and if none is."""
        return [region for region in self.allowed if self.allows(region)]

    def of_data(self, label: Residency) -> Residency:
        """Return where jobs of the tenant about data with this label may run: both must allow the region.

        Home and order are those of the label if it has them.
        """
        if not label.allowed:
            return Residency(label.home or self.home, self.allowed)
        return Residency(label.home or self.home, label.allowed, self.allowed)

    def distance(self, region: str) -> int:
        """Return 0 for the home region, then the place among the allowed regions from 1; other regions are last."""
        if region and region == self.home:
            return 0
        order = list(self.allowed)
        return 1 + order.index(region) if region in order else 1 + len(order)


ANYWHERE = Residency()
