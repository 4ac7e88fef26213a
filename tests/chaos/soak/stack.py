"""Stack of a long run: it takes the shape of row after row, with maintenance and beat beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from benchmarks.harness.processes import children_of
from tests.acceptance.processes import ManagedProcess
from tests.chaos.servers import Addresses
from tests.chaos.stack import Shape, Stack

# Longer than a worker's grace period for its jobs.
STOP_SECONDS = 90.0
HOME = Shape()


class SoakStack(Stack):
    """Stack whose processes are replaced as by a deploy when the next row needs others."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__(addresses, HOME)
        self._apart: dict[str, ManagedProcess] = {}
        self._deployed: Mapping[str, Any] = {}

    def keep(self) -> None:
        """Replace dead processes, including maintenance and beat."""
        super().keep()
        starts: Mapping[str, Callable[[], ManagedProcess]] = {
            "maintenance": lambda: self._platform.begin_worker(concurrency=1, pool="maintenance"),
            "beat": self._platform.start_beat,
        }
        for role, start in starts.items():
            if role not in self._apart or not self._apart[role].is_running:
                self._apart[role] = self._note(role, start())

    def take_shape(self, shape: Shape, prepare: Callable[[Stack], None] | None = None) -> None:
        """Deploy the processes of a row: stop the present ones with SIGTERM and start the new ones, unless they are
        equal.
        """
        self.shape = shape
        for role in self.environment:
            self.environment[role] = dict(shape.environment.get(role, {}))
        for tenant, cap in zip(self.tenants, shape.caps, strict=True):
            if self.caps[tenant.pk][-1][1] != cap:
                self.set_cap(tenant, cap)
        if prepare is not None:
            prepare(self)
        wanted = self._wanted()
        if wanted == self._deployed:
            return
        old = [one for one in [*self.workers, *self.dispatchers, self.web] if one is not None and one.is_running]
        for process in old:
            process.ask_to_stop()
        self.until(lambda: not any(one.is_running for one in old), within=STOP_SECONDS, what="all have ended")
        self.until(self.is_whole, within=STOP_SECONDS * 2, what="all processes are up again")
        self._deployed = wanted

    def start_processes(self) -> None:
        super().start_processes()
        self._deployed = self._wanted()

    def _wanted(self) -> Mapping[str, Any]:
        shape = self.shape
        numbers = (shape.workers, shape.slots, shape.dispatchers)
        return deepcopy({"numbers": numbers, "shape": shape.environment, "roles": self.environment})

    def living(self) -> Iterator[tuple[str, int]]:
        """Yield every process of the platform with its role; children have roles of their own."""
        for role, process in self.started:
            if process.is_running:
                yield role, process.pid
                for child in children_of(process.pid):
                    yield f"{role} child", child
