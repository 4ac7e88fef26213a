"""Storage of large values: the row holds the beginning, the file storage the whole."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tenants.database.platform_settings import platform_settings
from tenants.exceptions import SpaceExceededError
from workloads.files.contents import StoredFileError
from workloads.files.store import read_bytes, store_bytes
from workloads.workflows.records.rows import Row

logger = logging.getLogger(__name__)

# Length of the preview of an offloaded value.
PREVIEW_CHARACTERS: Final = 1_000
# Columns that hold a value.
VALUES: Final = ("inputs", "outputs")


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value as its row stores it.

    ``content`` is the value or, if it ``is_preview``, the beginning of its JSON as text. A preview without a ``key`` is
    all that exists, because the tenant's storage had no room for the rest.
    """

    content: Any
    size_bytes: int
    key: str | None
    sha256: str

    @property
    def is_preview(self) -> bool:
        """Return whether the row holds only the beginning of the value."""
        return isinstance(self.content, str)

    def read(self) -> Any:
        """Return the whole value, reading the file storage if it is there; raise `StoredFileError` if that fails."""
        return json.loads(read_bytes(self.key, self.sha256)) if self.key else self.content

    def read_or_preview(self) -> Any:
        """Return the whole value, or its beginning as text if the file storage fails."""
        try:
            return self.read()
        except StoredFileError as error:
            logger.warning("a value of a workflow run cannot be read", extra={"key": self.key, "error": str(error)})
            return self.content


def value_of(row: Any, name: str) -> StoredValue | None:
    """Return the ``inputs`` or ``outputs`` of a run or node; None if they are not set."""
    if not getattr(row, f"{name}_version"):
        return None
    return StoredValue(
        content=getattr(row, name),
        size_bytes=getattr(row, f"{name}_bytes"),
        key=getattr(row, f"{name}_key"),
        sha256=getattr(row, f"{name}_sha256"),
    )


def offload(row: Row) -> Row:
    """Return the row with all columns of its values. Large values are stored as files, in the current transaction."""
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
        # A full storage does not fail the run; its page shows that only the beginning was stored.
        logger.warning("no room for a value of a workflow run", extra={"tenant_id": str(tenant_id), "bytes": len(data)})
        return columns
    return columns | {f"{name}_key": content.key, f"{name}_sha256": content.sha256}
