"""The completion job of a batch: its definition, its stored form, and its request with the batch's summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from scheduling.jobs.requests import JobRequest
from scheduling.models import Batch

# Fields that concern the batch; all others are fields of the job's request.
_OF_BATCH = frozenset({"summary_as", "only_if_completed"})


@dataclass(frozen=True, slots=True)
class CompletionJob:
    """The job that a batch submits when it has ended.

    ``summary_as`` names the payload key for the batch's summary. ``only_if_completed``: do not submit it if any job of
    the batch failed or was cancelled. ``is_internal``: it delivers to a webhook.
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
        """Build the completion job from the JSON stored with its batch; ignore unknown fields."""
        names = cls.__dataclass_fields__
        return cls(**{name: value for name, value in stored.items() if name in names})

    def to_json(self) -> dict[str, Any]:
        """Return the completion job as JSON values, to be stored with its batch."""
        return asdict(self) | {"tags": list(self.tags), "payload": dict(self.payload)}

    def request(self, summary: Mapping[str, Any]) -> JobRequest:
        """Return the JobRequest of the completion job of a batch with this summary."""
        payload = dict(self.payload)
        if self.summary_as:
            payload[self.summary_as] = dict(summary)
        given = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in _OF_BATCH}
        return JobRequest(**{**given, "payload": payload, "tags": tuple(self.tags)})


@dataclass(frozen=True, slots=True)
class MemberCompensation:
    """The job that undoes a member of a batch that has failed or was cancelled.

    ``member_as`` names the payload key for the member: its job's id, state and result, null if it has none.
    """

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    member_as: str = ""
    max_retries: int | None = None

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Build the compensation from the JSON stored with its batch."""
        return cls(**stored)

    def to_json(self) -> dict[str, Any]:
        """Return the compensation as JSON values, to be stored with its batch."""
        return asdict(self) | {"payload": dict(self.payload)}

    def payload_for(self, member: Mapping[str, Any]) -> dict[str, Any]:
        """Return the payload of the job that undoes this member."""
        return {**self.payload, self.member_as: dict(member)} if self.member_as else dict(self.payload)

    def example(self) -> JobRequest:
        """Return a request as of a member without a result, by which a wrong one is refused in time."""
        member = {"job": "00000000-0000-7000-8000-000000000000", "state": "completed", "result": None}
        return JobRequest(kind=self.kind, payload=self.payload_for(member), max_retries=self.max_retries)


def summarise(batch: Batch) -> dict[str, Any]:
    """Return the summary of a batch that its completion job gets."""
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
