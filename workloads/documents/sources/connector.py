"""The kit for connectors: what a plug-in implements to list and fetch the items of a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from workloads.documents.sources.calls import Calls

type Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ListedItem:
    """An item of a source. Its content is fetched again only if ``version`` is empty or differs from the last one.

    ``key`` is its name within the source, at most 2,000 bytes long, and ``version`` is cut at 200 characters.
    """

    key: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A part of a listing. ``cursor``, a JSON value, is where the next part begins; None after the last one.

    If ``is_complete`` is False, items may be missing, so that none counts as gone in this sync.
    """

    items: Sequence[ListedItem]
    cursor: Any = None
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class FetchedItem:
    """The content of an item, and the name of its document; the suffix of the name tells formats of text apart."""

    name: str
    data: bytes = field(repr=False)


class Connector(ABC):
    """A way to list and fetch the items of a source. An instance serves one execution of a job.

    - ``name``: unique over all connectors; sources store it.
    - ``schema``: JSON Schema 2020-12 of a source's configuration. A text of the format `uri` must be a URL that jobs
      may call.
    - ``credentials``: what a source may take from stored secrets; `Calls.credential` returns the values.

    Use `calls` for requests. In `list_items` an error ends the sync, in `fetch` a PermanentError or a TransientError is
    stored with the item.
    """

    name: ClassVar[str]
    schema: ClassVar[Json]
    credentials: ClassVar[Sequence[str]] = ()

    def __init__(self, config: Json, calls: Calls) -> None:
        self.config = config
        self.calls = calls

    @abstractmethod
    def list_items(self, cursor: Any) -> ItemPage:
        """Return the items from ``cursor`` on; None is the beginning."""

    @abstractmethod
    def fetch(self, item: ListedItem) -> FetchedItem:
        """Return the content of an item."""
