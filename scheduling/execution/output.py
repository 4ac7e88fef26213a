"""The output of a running job: text that is collected in memory and written as events, of which there is a limit."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scheduling.execution.json_limits import storable_text
from scheduling.execution.start import StartedExecution
from scheduling.jobs.history import OUTPUT_EVENT
from scheduling.models import JobEvent
from tenants.context import tenant_context
from tenants.database.ids import uuid7_after
from tenants.database.prepared import execute, fetch_one, set_config
from tenants.database.sql import load_sql
from tenants.encryption.fields import sealed_field

MAX_NAME_CHARACTERS: Final = 100
ROW_BYTES: Final = 4 * 1024
# Of a job over all its executions, as they are stored; one more event says that the rest was cut.
MAX_OUTPUT_BYTES: Final = 1024 * 1024
MAX_OUTPUT_ROWS: Final = 1_000

_SQL = load_sql(__file__)
_SIZE, _APPEND = _SQL["read_output_size"], _SQL["append_output"]
_DATA = sealed_field(JobEvent, "data")


@dataclass(slots=True)
class _Chunk:
    """Text of one output that is not written yet; ``restarts`` if it replaces what came before."""

    restarts: bool
    parts: list[str] = field(default_factory=list)


class JobOutput:
    """The output of one execution: any thread adds to it, and one at a time writes."""

    def __init__(self, started: StartedExecution) -> None:
        self._started = started
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._chunks: dict[str, _Chunk] = {}
        # Characters that are not sealed yet, of chunks and pieces.
        self._collected = 0
        self._names: set[str] = set()
        # The name, the text and whether it restarts, until they are sealed.
        self._pieces: deque[tuple[str, str, bool]] = deque()
        self._sealed_characters = 0
        # Built and perhaps not committed; repeated with the same ids.
        self._unwritten: list[Mapping[str, Any]] = []
        self._rows = self._bytes = 0
        # Reads and pruning of a job's output begin with its own id, whatever this worker's clock says.
        self._last_id = max(started.job_id, started.execution_id)
        self._is_size_known = started.number == 1
        self._is_restart = self._is_cut = False

    def add(self, name: str, text: str, *, restart: bool = False) -> None:
        """Keep text for the next write; beyond the limit of a job, forget it."""
        if not 0 < len(name) <= MAX_NAME_CHARACTERS:
            raise ValueError(f"The name of an output has 1 to {MAX_NAME_CHARACTERS} characters.")
        with self._guard:
            if self._is_cut or self._collected > MAX_OUTPUT_BYTES or not (text or restart):
                return
            if restart and (replaced := self._chunks.pop(name, None)) is not None:
                self._collected -= sum(map(len, replaced.parts))
            # One character more shows that it was cut.
            kept = text[: MAX_OUTPUT_BYTES + 1 - self._collected]
            self._chunks.setdefault(name, _Chunk(restart)).parts.append(kept)
            self._collected += len(kept)

    @property
    def is_waiting(self) -> bool:
        """Return whether something was added that is not written yet."""
        return bool(self._chunks or self._pieces or self._unwritten)

    @property
    def waiting_characters(self) -> int:
        """Return how many characters were added that are not written yet."""
        return self._collected + self._sealed_characters

    def write(self, *, patience_ms: int | None = None, wait_seconds: float = 0.0) -> bool:
        """Write what was added; return whether there was anything, or another thread is writing.

        With ``patience_ms``, wait at most so many milliseconds for the job's row; then raise OperationalError. Write
        nothing if the job now belongs to another execution.
        """
        if not self._writing.acquire(timeout=wait_seconds):
            return True
        try:
            if not self.is_waiting:
                return False
            with tenant_context(self._started.tenant_id):
                if patience_ms is not None:
                    execute(*set_config({"lock_timeout": str(patience_ms)}))
                self._read_size()
                self._take()
                execute(_APPEND, self._parameters(rows=json.dumps(self._unwritten), fence=self._started.fence))
            self._unwritten, self._sealed_characters = [], 0
        finally:
            self._writing.release()
        return True

    def _parameters(self, **more: Any) -> dict[str, Any]:
        started = self._started
        ids = {"tenant_id": started.tenant_id, "job_id": started.job_id, "execution_id": started.execution_id}
        return {**ids, "name": OUTPUT_EVENT, **more}

    def _read_size(self) -> None:
        """Read once what earlier executions have written: their output begins again."""
        if not self._is_size_known:
            size = fetch_one(_SIZE, self._parameters())
            self._rows, self._bytes, self._is_restart = size.rows, size.bytes, size.rows > 0
            self._last_id = max(self._last_id, size.last_id or self._last_id)
            self._is_size_known = True

    def _take(self) -> None:
        """Make rows of what was added; what cannot be sealed now is kept for the next write."""
        with self._guard:
            chunks, self._chunks = self._chunks, {}
        for name, chunk in chunks.items():
            restarts = chunk.restarts or (self._is_restart and name not in self._names)
            self._names.add(name)
            for text in _pieces(storable_text("".join(chunk.parts))):
                self._pieces.append((name, text, restarts))
                restarts = False
        while self._pieces:
            name, text, restarts = self._pieces[0]
            if not self._is_cut:
                self._unwritten.append(self._row(name, text, restarts=restarts))
                self._sealed_characters += len(text)
            self._pieces.popleft()
            with self._guard:
                self._collected -= len(text)

    def _row(self, name: str, text: str, *, restarts: bool) -> Mapping[str, Any]:
        row_id = self._last_id = uuid7_after(self._last_id)
        facts: dict[str, Any] = {"stream": storable_text(name), **({"restarted": True} if restarts else {})}
        data = self._stored(row_id, {**facts, "text": text})
        size = len(json.dumps(data, ensure_ascii=False).encode())
        if self._rows >= MAX_OUTPUT_ROWS or self._bytes + size > MAX_OUTPUT_BYTES:
            self._is_cut = True
            data = self._stored(row_id, {**facts, "is_cut": True})
        self._rows, self._bytes = self._rows + 1, self._bytes + size
        return {"id": str(row_id), "data": data}

    def _stored(self, row_id: Any, data: Mapping[str, Any]) -> Any:
        return _DATA.stored(data, tenant_id=self._started.tenant_id, row_id=row_id)


def _pieces(text: str) -> Iterator[str]:
    """Yield the text in pieces that each fit into an event; an empty text is one piece."""
    whole, at = text.encode(), 0
    while True:
        piece = whole[at : at + ROW_BYTES].decode("utf-8", "ignore")
        yield piece
        at += len(piece.encode())
        if at >= len(whole):
            return
