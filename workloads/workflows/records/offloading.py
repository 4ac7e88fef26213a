"""Large values: in the row a preview, in the file storage the whole."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tenants.database.platform_settings import platform_settings
from tenants.exceptions import SpaceExceededError
from workloads.files.store import StoredFileError, read_bytes, store_bytes
from workloads.workflows.records.rows import Row

logger = logging.getLogger(__name__)

# What a page shows of a value that is kept elsewhere.
PREVIEW_CHARACTERS: Final = 1_000
# The columns that hold a value.
VALUES: Final = ("inputs", "outputs")


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value as its row holds it. ``content`` is the whole, or its beginning as text where it ``is_preview``.

    A preview without a ``key`` is all there is: the tenant's storage had no room for the rest.
    """

    content: Any
    size_bytes: int
    key: str | None
    sha256: str

    @property
    def is_preview(self) -> bool:
        """Whether the row holds less than the value."""
        return isinstance(self.content, str)

    def read(self) -> Any:
        """The whole value, from the file storage where it is there."""
        return json.loads(read_bytes(self.key, self.sha256)) if self.key else self.content

    def read_or_preview(self) -> Any:
        """The whole value, or its preview while the file storage does not give it."""
        try:
            return self.read()
        except StoredFileError as error:
            logger.warning("a value of a workflow run cannot be read", extra={"key": self.key, "error": str(error)})
            return self.content


def value_of(row: Any, name: str) -> StoredValue | None:
    """A value of a run or a node, None where none was said."""
    if not getattr(row, f"{name}_version"):
        return None
    return StoredValue(
        content=getattr(row, name),
        size_bytes=getattr(row, f"{name}_bytes"),
        key=getattr(row, f"{name}_key"),
        sha256=getattr(row, f"{name}_sha256"),
    )


def offload(row: Row) -> Row:
    """Return the row with all columns of its values, large values stored as files in the current transaction."""
    stored = dict(row)
    for name in VALUES:
        stored |= _place(UUID(row["tenant_id"]), name, row[name], is_said=bool(row[f"{name}_version"]))
    return stored


def _place(tenant_id: UUID, name: str, value: Any, *, is_said: bool) -> dict[str, Any]:
    columns = {name: value, f"{name}_bytes": 0, f"{name}_key": None, f"{name}_sha256": ""}
    if not is_said:
        return columns
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    columns[f"{name}_bytes"] = len(data)
    if len(data) <= platform_settings.WORKFLOW_INLINE_VALUE_BYTES:
        return columns
    columns[name] = data.decode()[:PREVIEW_CHARACTERS]
    try:
        content = store_bytes(tenant_id, data)
    except SpaceExceededError:
        # A run is no failure because its record has no room; its page says that only the beginning was kept.
        logger.warning("no room for a value of a workflow run", extra={"tenant_id": str(tenant_id), "bytes": len(data)})
        return columns
    return columns | {f"{name}_key": content.key, f"{name}_sha256": content.sha256}
