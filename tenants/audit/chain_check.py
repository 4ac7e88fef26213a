"""The verification of one chain of the audit log, seal by seal.

It is pure: the caller reads the seals in order and passes them in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from tenants.audit.chain import GENESIS, Link
from tenants.translation import gettext_noop, interpolate

FindingKind = Literal[
    "entry_edited",
    "entry_missing",
    "entry_inserted",
    "entry_unsealed",
    "seals_missing",
    "seal_altered",
    "seal_before_checkpoint",
    "order_changed",
    "link_broken",
    "fork",
    "end_missing",
    "counter_differs",
    "heads_missing",
    "head_differs",
    "head_forged",
    "head_key_unknown",
]


@dataclass(frozen=True, slots=True)
class ChainFinding:
    """One fault found in a chain, and its position; ``values`` fill the placeholders of ``text``."""

    kind: FindingKind
    chain: UUID
    text: str
    sequence: int | None = None
    entry_id: UUID | None = None
    values: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def detail(self) -> str:
        """Return the text with its values filled in."""
        return interpolate(self.text, self.values)

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as a dict of JSON values."""
        return {
            "kind": self.kind,
            "chain": str(self.chain),
            "sequence": self.sequence,
            "entry": None if self.entry_id is None else str(self.entry_id),
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Seal:
    """A stored seal, and the hash of its entry as now stored (None if the entry is missing)."""

    sequence: int
    entry_id: UUID
    entry_hash: str
    previous_hash: str
    hash: str
    sealed_at: datetime
    actual_hash: str | None


@dataclass(slots=True)
class ChainCheck:
    """The state of a chain's verification after the seals passed so far; it is stored as JSON between two batches."""

    chain: str
    sequence: int = 0
    # The hashes that the next seal may follow: one, or several after a fork.
    tips: list[str] = field(default_factory=lambda: [GENESIS])
    last_previous: str = ""
    last_entry: str = ""
    is_after_misplaced: bool = False
    # Where the chain begins: after the last checkpoint.
    start: int = 0

    @classmethod
    def begin(cls, chain: UUID, *, sequence: int = 0, chain_hash: str = GENESIS) -> Self:
        """Return a new check, which starts after a checkpoint or at the beginning of the chain."""
        return cls(chain=str(chain), sequence=sequence, tips=[chain_hash], start=sequence)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def take(self, seal: Seal) -> Iterator[ChainFinding]:
        """Check the next seal of the chain and yield the faults found."""
        if seal.sequence <= self.start:
            yield self._finding(
                "seal_before_checkpoint",
                seal,
                gettext_noop("The seal is before the last checkpoint, where the chain was pruned."),
            )
            return
        if seal.sequence == self.sequence and self.last_entry:
            yield self._finding(
                "fork",
                seal,
                gettext_noop("Another seal also has the sequence %(sequence)s."),
                {"sequence": seal.sequence},
            )
            self.tips.append(seal.hash)
            return
        place = list(self._look_at_place(seal))
        yield from place
        # Two seals with one previous hash are one finding; the second one's entry was never in the chain.
        if not any(finding.kind == "fork" for finding in place):
            yield from self._look_at_entry(seal)
        self.is_after_misplaced = any(finding.kind == "order_changed" for finding in place)
        self.sequence, self.tips = seal.sequence, [seal.hash]
        self.last_previous, self.last_entry = seal.previous_hash, str(seal.entry_id)

    def _look_at_place(self, seal: Seal) -> Iterator[ChainFinding]:
        link = Link(UUID(self.chain), seal.sequence, seal.entry_hash, seal.previous_hash, seal.sealed_at)
        is_own = link.hash() == seal.hash
        if seal.sequence > self.sequence + 1:
            first, last = self.sequence + 1, seal.sequence - 1
            yield self._finding(
                "seals_missing",
                seal,
                gettext_noop("The preceding seals %(first)s to %(last)s are missing."),
                {"first": first, "last": last},
            )
        elif seal.previous_hash not in self.tips:
            yield from self._look_at_broken_link(seal, is_own=is_own)
            return
        if not is_own:
            yield self._finding("seal_altered", seal, gettext_noop("The hash does not match the seal's content."))

    def _look_at_broken_link(self, seal: Seal, *, is_own: bool) -> Iterator[ChainFinding]:
        if seal.previous_hash == self.last_previous:
            yield self._finding(
                "fork",
                seal,
                gettext_noop("It follows the same hash as seal %(sequence)s."),
                {"sequence": self.sequence},
            )
        elif not is_own:
            yield self._finding("order_changed", seal, gettext_noop("It was sealed at another position."))
        elif not self.is_after_misplaced:
            yield self._finding(
                "link_broken",
                seal,
                gettext_noop("Seal %(sequence)s is not the one that it was linked to."),
                {"sequence": self.sequence},
            )

    def _look_at_entry(self, seal: Seal) -> Iterator[ChainFinding]:
        if seal.actual_hash is None:
            yield self._finding("entry_missing", seal, gettext_noop("The sealed entry is missing."))
        elif seal.actual_hash != seal.entry_hash:
            yield self._finding("entry_edited", seal, gettext_noop("The entry differs from the sealed one."))

    def _finding(
        self, kind: FindingKind, seal: Seal, text: str, values: Mapping[str, str | int] | None = None
    ) -> ChainFinding:
        return ChainFinding(kind, UUID(self.chain), text, seal.sequence, seal.entry_id, values or {})
