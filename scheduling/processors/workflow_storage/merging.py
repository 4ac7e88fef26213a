"""What becomes of a write that comes late, twice, or after a newer one. Pure; :mod:`upserts` says the same in SQL.

A row has a head, which is as of one version and is replaced as a whole by a newer one, and values, each with the
version that said it. So the order in which writes come does not matter, nor how often: what stays is, of each part,
the newest that was said. Nothing follows a terminal state; an older write still fills in what it alone said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduling.processors.workflow_storage.records import TERMINAL_STATES

# As JSON holds it: moments and ids are texts, moments all in UTC and of one length.
type Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of a table by how they merge, each with its type in PostgreSQL.

    ``key`` is what makes two rows the same, ``head`` goes by the version, ``values`` each by its own. ``fixed`` is as
    in the first row, ``once`` stays when it was said, of ``first`` the least counts and of ``last`` the greatest.
    """

    table: str
    key: tuple[str, ...]
    fixed: Mapping[str, str]
    head: Mapping[str, str]
    values: tuple[str, ...]
    once: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()

    def identity(self, row: Row) -> tuple[Any, ...]:
        """What a row is a row of, hashable and in an order."""
        return tuple(tuple(value) if isinstance(value, list) else value for value in (row[name] for name in self.key))


_HEAD: Final = {
    "version": "int",
    "state": "text",
    "error_code": "text",
    "error_message": "text",
    "ended_at": "timestamptz",
}
RUNS: Final = Shape(
    table="workflow_storage_workflowrun",
    key=("tenant_id", "id"),
    fixed={
        "id": "uuid",
        "tenant_id": "uuid",
        "workflow_id": "uuid",
        "workflow_version": "int",
        "workflow_name": "text",
    },
    head={**_HEAD, "job_id": "uuid", "total_tokens": "bigint", "total_steps": "int"},
    values=("inputs", "outputs"),
    once=("graph",),
    first=("started_at",),
)
NODES: Final = Shape(
    table="workflow_storage_noderun",
    key=("tenant_id", "run_id", "node_id", "path"),
    fixed={
        "id": "uuid",
        "tenant_id": "uuid",
        "run_id": "uuid",
        "node_id": "text",
        "path": "int[]",
        "node_type": "text",
    },
    head={**_HEAD, "attempt": "int", "tokens": "bigint"},
    values=("inputs", "outputs"),
    first=("started_at",),
    last=("run_version",),
)


def merge(stored: Row, late: Row, shape: Shape) -> Row:
    """The row after a write of the same row; ``stored`` itself where the write changes nothing."""
    is_newer = late["version"] > stored["version"]
    if is_newer and stored["state"] in TERMINAL_STATES:
        return stored
    changes: dict[str, Any] = {}
    if is_newer:
        changes |= {name: late[name] for name in shape.head}
    for name in shape.values:
        if late[f"{name}_version"] > stored[f"{name}_version"]:
            changes |= {name: late[name], f"{name}_version": late[f"{name}_version"]}
    changes |= {name: late[name] for name in shape.once if stored[name] is None}
    for names, choose in ((shape.first, min), (shape.last, max)):
        for name in names:
            said = [row[name] for row in (stored, late) if row[name] is not None]
            changes[name] = choose(said, default=None)
    merged = {**stored, **changes}
    return stored if merged == stored else merged


def collapse(rows: Iterable[Row], shape: Shape) -> list[Row]:
    """One row of each identity, as the writes one after the other would leave it; in the order of identities."""
    merged: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        identity = shape.identity(row)
        known = merged.get(identity)
        merged[identity] = row if known is None else merge(known, row, shape)
    # All writers lock rows in this order.
    return [merged[identity] for identity in sorted(merged)]
