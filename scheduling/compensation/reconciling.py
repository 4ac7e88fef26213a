"""Pure rules of reconciliation: what an external system lists by idempotency key, against what the platform has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Keys of each difference that a result lists.
MAX_EXAMPLES: Final = 100
DONE, UNDONE, OPEN = "done", "undone", "open"
# By (outside, here); "" is not listed. Other pairs agree, or will when the job has ended.
DIFFERENCES: Final[Mapping[tuple[str, str], str]] = {
    ("", DONE): "missing_outside",
    (UNDONE, DONE): "undone_outside",
    (DONE, UNDONE): "not_undone",
    (DONE, ""): "unknown_here",
}


class ListInvalidError(Exception):
    """The error for a list of another form; the message says what is wrong."""


@dataclass(slots=True)
class Comparison:
    """Differences by name: the number of keys, and the first of them."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DIFFERENCES.values(), 0))
    keys: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, key: str) -> None:
        """Count a difference."""
        self.counts[name] += 1
        listed = self.keys.setdefault(name, [])
        if len(listed) < MAX_EXAMPLES:
            listed.append(key)


def compare(outside: Mapping[str, str], here: Mapping[str, str]) -> Comparison:
    """Compare the states `done`, `undone` and `open` of keys; the keys of several effects of a job begin with its id.

    ``outside`` has no `open` ones. A key with a suffix such as `:2` belongs to the key before the colon.
    """
    found = Comparison()
    listed: dict[str, set[str]] = {}
    for key, state in outside.items():
        listed.setdefault(key.partition(":")[0], set()).add(state)
        _note(found, state, here.get(key.partition(":")[0], ""), key)
    for key, state in here.items():
        if key not in listed:
            _note(found, "", state, key)
    return found


def _note(found: Comparison, outside: str, here: str, key: str) -> None:
    if name := DIFFERENCES.get((outside, here)):
        found.add(name, key)


def read_page(content: Any) -> tuple[list[tuple[str, str]], str | None]:
    """Return the keys with their states of one page, and the URL of the next one or None; raise ListInvalidError."""
    if not isinstance(content, Mapping) or not isinstance(content.get("items"), list):
        raise ListInvalidError("A page must be an object with a list `items`.")
    following = content.get("next")
    if following is not None and not isinstance(following, str):
        raise ListInvalidError("`next` must be a URL or null.")
    return [*_items_of(content["items"])], following


def _items_of(items: list[Any]) -> Iterable[tuple[str, str]]:
    for item in items:
        if not isinstance(item, Mapping) or not isinstance(item.get("key"), str) or len(item["key"]) > 200:
            raise ListInvalidError("Each item must have a `key` of at most 200 characters.")
        if item.get("state", DONE) not in (DONE, UNDONE):
            raise ListInvalidError("The `state` of an item is `done` or `undone`.")
        yield item["key"], item.get("state", DONE)
