"""Small jobs travel together: which message of the tick a picked job goes with.

The order of the picks is no concern of this: whoever's turn has come joins the open message of its queue and
kind if there is one, and needs no slot of its own then. Nobody is passed over so that a message gets full.
"""

from __future__ import annotations

from uuid import UUID

from scheduling.fairness.shares import MergeRule, ReadyJob


class Message:
    """A message that takes more jobs: small ones of one queue and kind, of the ``tenants`` and their ``lines``."""

    __slots__ = ("cost_us", "jobs", "lines", "number", "tenants")

    def __init__(self, number: int) -> None:
        self.number = number
        self.jobs = 0
        self.cost_us = 0
        self.tenants: set[UUID] = set()
        self.lines: set[int] = set()

    def add(self, tenant_id: UUID, line_id: int, job: ReadyJob) -> None:
        self.jobs += 1
        self.cost_us += job.cost_us
        self.tenants.add(tenant_id)
        self.lines.add(line_id)


class OpenMessages:
    """The messages of one tick: how many there are, and the one of each queue and kind that still takes jobs."""

    __slots__ = ("_open", "_rule", "count")

    def __init__(self, rule: MergeRule | None) -> None:
        self._rule = rule
        self._open: dict[tuple[int, str], Message] = {}
        self.count = 0

    def clear(self) -> None:
        """Begin another tick."""
        self._open.clear()
        self.count = 0

    def joined_by(self, queue_id: int, job: ReadyJob | None) -> Message | None:
        """The message that the job would join; None if it would need one of its own."""
        if self._rule is None or job is None or not job.may_merge:
            return None
        message = self._open.get((queue_id, job.kind))
        if message is None or message.jobs >= self._rule.jobs or message.cost_us + job.cost_us > self._rule.total_us:
            return None
        return message

    def may_take(self, queue_id: int, tenant_id: UUID | None) -> bool:
        """Whether a job that nobody has read might join a message: one of its queue, and with its tenant if named."""
        return any(
            message.jobs < self._rule.jobs and (tenant_id is None or tenant_id in message.tenants)
            for (of_queue, _), message in self._open.items()
            if self._rule is not None and of_queue == queue_id
        )

    def place(self, message: Message | None, queue_id: int, tenant_id: UUID, line_id: int, job: ReadyJob) -> int:
        """Put a picked job into the message that it joins, else into one of its own; the message's number."""
        if message is None:
            number = self.count
            self.count += 1
            if self._rule is None or not job.may_merge:
                return number
            self._open[queue_id, job.kind] = message = Message(number)
        message.add(tenant_id, line_id, job)
        return message.number
