"""The job that a batch submits when it has ended: how it is asked for, kept, and submitted with the batch's summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self
from uuid import UUID

from scheduling.jobs.requests import JobRequest
from scheduling.models import Batch

EXAMPLE_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class CompletionJob:
    """The job at a batch's end.

    ``summary_as`` names the key of the payload that gets the batch's summary. ``only_if_completed``: it is not
    submitted if any of the batch's jobs failed or was cancelled. ``is_internal``: it is the delivery to a webhook.
    """

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    queue: str | None = None
    priority: int | None = None
    fair_key: str = ""
    tags: Sequence[str] = ()
    max_retries: int | None = None
    summary_as: str = ""
    only_if_completed: bool = False
    is_internal: bool = False

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """As it was kept with its batch; what a later version keeps beside it is left alone."""
        names = cls.__dataclass_fields__
        return cls(**{name: value for name, value in stored.items() if name in names})

    def to_json(self) -> dict[str, Any]:
        """As it is kept with its batch."""
        return asdict(self) | {"tags": list(self.tags), "payload": dict(self.payload)}

    def request(self, summary: Mapping[str, Any]) -> JobRequest:
        """What is submitted for a batch of this summary."""
        payload = dict(self.payload)
        if self.summary_as:
            payload[self.summary_as] = dict(summary)
        return JobRequest(
            kind=self.kind,
            payload=payload,
            queue=self.queue,
            priority=self.priority,
            fair_key=self.fair_key,
            tags=tuple(self.tags),
            max_retries=self.max_retries,
            is_internal=self.is_internal,
        )


def summarise(batch: Batch) -> dict[str, Any]:
    """What a completion job is told of its batch."""
    return {
        "id": str(batch.pk),
        "label": batch.label,
        "state": batch.state,
        "total": batch.total,
        "completed": batch.completed,
        "failed": batch.failed,
        "cancelled": batch.cancelled,
        "created_at": batch.created_at.isoformat() if batch.created_at else None,
        "ended_at": batch.ended_at.isoformat() if batch.ended_at else None,
    }
