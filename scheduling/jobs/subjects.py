"""The data that submitted jobs are about: the labels of these data limit the regions in which the jobs may run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.routing.balancing import Routed
from scheduling.jobs.routing.service import Routes
from scheduling.kit import registry
from scheduling.regions.exceptions import RegionNotAllowedError
from scheduling.regions.queries import read_labels
from scheduling.regions.rules import Residency


@dataclass(frozen=True, slots=True)
class Subjects:
    """The data that requests are about, by the identity of the request, and the labels of these data."""

    found: Mapping[int, UUID] = field(default_factory=dict)
    labels: Mapping[UUID, Residency] = field(default_factory=dict)

    @classmethod
    def read(cls, requests: Sequence[JobRequest]) -> Self:
        """Find the data by one call of each kind whose requests do not name them; read all labels in one statement."""
        found = {id(request): request.subject for request in requests if request.subject is not None}
        unnamed: dict[str, list[JobRequest]] = defaultdict(list)
        for request in requests:
            if request.subject is None:
                unnamed[request.kind].append(request)
        for kind, asked in unnamed.items():
            if (find := registry.subject_finder(kind)) is not None:
                pairs = zip(asked, find([one.payload for one in asked]), strict=True)
                found |= {id(request): subject for request, subject in pairs if subject is not None}
        return cls(found, read_labels(set(found.values())))

    def of(self, request: JobRequest) -> UUID | None:
        """Return the id of the data that the job is about, None if there are none."""
        return self.found.get(id(request))

    def route(self, routes: Routes, request: JobRequest) -> Routed:
        """Return the queue of a job, in a region that its tenant and its data allow; raise as `Routes.route`."""
        subject = self.of(request)
        if subject is None or (label := self.labels.get(subject)) is None:
            return routes.route(request.kind, request.payload, request.queue, request.tags)
        inside = routes.within(routes.residency.of_data(label))
        try:
            return inside.route(request.kind, request.payload, request.queue, request.tags)
        except RegionNotAllowedError:
            raise RegionNotAllowedError.of_data(subject, inside.residency) from None
