"""Storage of the nodes' outputs: small values stay in the run's state, large ones go to the file storage."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from scheduling.kit.base import PermanentError
from workloads.files.store import at_once, errors_of_job, read_bytes, store_bytes
from workloads.workflows.engine.state import NodeProgress, Stored, WorkflowRunProgress, inline
from workloads.workflows.models import RunValue
from workloads.workflows.records.rows import storable
from workloads.workflows.running.repository import read_value

INLINE_BYTES: Final = 2 * 1024
MAX_VALUE_BYTES: Final = 16 * 1024 * 1024
# A checkpoint may have 256 KiB. Above the first size, the largest values are offloaded until the state is below the
# second.
FULL_BYTES: Final = 160 * 1024
ROOMY_BYTES: Final = 96 * 1024
# About the size of a reference.
_LEAST_BYTES: Final = 64
_MOST_LOADED: Final = 64


class Values:
    """The values of one run, small and large."""

    def __init__(self, tenant_id: UUID, job_id: UUID, state: WorkflowRunProgress, new: Sequence[RunValue] = ()) -> None:
        self._tenant_id = tenant_id
        self._job_id = job_id
        self._state = state
        self._loaded: OrderedDict[int, Any] = OrderedDict()
        self._new: list[RunValue] = [*new]

    def load(self, stored: Stored) -> Any:
        """Return the value for its stored form; a large value is read from the file storage."""
        if stored is None:
            return None
        if isinstance(stored, list):
            return stored[0]
        if stored not in self._loaded:
            self._remember(stored, _read(self._place_of(stored)))
        return self._loaded[stored]

    def load_all(self, stored: Sequence[Stored]) -> list[Any]:
        """Return the values for their stored forms; large ones are read from the file storage several at a time."""
        numbers = [one for one in stored if isinstance(one, int) and one not in self._loaded]
        read = dict(zip(numbers, at_once(_read, map(self._place_of, numbers)), strict=True))
        return [read[one] if isinstance(one, int) and one in read else self.load(one) for one in stored]

    def _place_of(self, number: int) -> tuple[str, str]:
        new = next((value for value in self._new if value.number == number), None)
        return (new.storage_key, new.sha256) if new else read_value(self._tenant_id, self._job_id, number)

    def keep(self, value: Any) -> Stored:
        """Return the stored form of a value.

        A large value is written to the file storage now, its row with the next checkpoint.
        """
        value = storable(value)
        data = _encode(value)
        return inline(value) if len(data) <= INLINE_BYTES else self._put_aside(value, data)

    def take_new(self) -> list[RunValue]:
        """Return the rows of the large values that were stored since the last call."""
        new, self._new = self._new, []
        return new

    def write_state(self) -> dict[str, Any]:
        """Return the checkpoint. Values are moved to the file storage until it is small enough."""
        content = self._state.write()
        if _size(content) <= FULL_BYTES:
            return content
        excess = _size(content) - ROOMY_BYTES
        sized = sorted(((_size(stored), place) for place, stored in self._inline_values()), key=lambda one: -one[0])
        for size, (step, index) in sized:
            if excess <= 0 or size <= _LEAST_BYTES:
                break
            stored = step.outputs if index is None else step.items[index]
            assert isinstance(stored, list)
            aside = self._put_aside(stored[0], _encode(stored[0]))
            if index is None:
                step.outputs = aside
            else:
                step.items[index] = aside
            excess -= size
        return self._state.write()

    def _inline_values(self) -> Iterator[tuple[tuple[NodeProgress, int | None], list[Any]]]:
        for step in self._state.steps.values():
            if isinstance(step.outputs, list):
                yield (step, None), step.outputs
            for index, stored in step.items.items():
                if isinstance(stored, list):
                    yield (step, index), stored

    def _put_aside(self, value: Any, data: bytes) -> int:
        if len(data) > MAX_VALUE_BYTES:
            raise PermanentError(
                f"A node produced {len(data):,} bytes; at most {MAX_VALUE_BYTES:,} are allowed.", code="value_too_large"
            )
        content = _stored(self._tenant_id, data)
        self._state.values += 1
        number = self._state.values
        self._new.append(
            RunValue(
                tenant_id=self._tenant_id,
                job_id=self._job_id,
                number=number,
                storage_key=content.key,
                sha256=content.sha256,
            )
        )
        self._remember(number, value)
        return number

    def _remember(self, number: int, value: Any) -> None:
        self._loaded[number] = value
        if len(self._loaded) > _MOST_LOADED:
            self._loaded.popitem(last=False)


def _read(place: tuple[str, str]) -> Any:
    return json.loads(read_bytes(*place))


def _stored(tenant_id: UUID, data: bytes) -> Any:
    with errors_of_job():
        return store_bytes(tenant_id, data)


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _size(value: Any) -> int:
    # Measured as the checkpoint is: with every character outside ASCII escaped.
    return len(json.dumps(value))
