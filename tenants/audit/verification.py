"""Verification of the audit log: each chain is walked seal by seal and compared with its entries and signed heads.

It runs in batches, each in its own transaction, so that memory use stays bounded and no transaction stays open for
long. It can resume after any batch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import UUID

from django.utils.translation import gettext_noop

from tenants.audit import chain_queries as rows
from tenants.audit.chain import GENESIS
from tenants.audit.chain_check import ChainCheck, ChainFinding, FindingKind, Seal
from tenants.audit.counters import check_counter
from tenants.audit.heads import export_head, is_head_signed
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import CursorInvalidError
from tenants.models import Tenant

BATCH_SEALS: Final = 2_000
BATCH_ENTRIES: Final = 5_000
# An entry without a seal for longer than this has no sealer.
GRACE_SECONDS: Final = 60.0
_NO_ID: Final = UUID(int=0)


@dataclass(slots=True)
class ChainVerification:
    """The counts and findings of one verification. `next` is the position to resume from, or None if it is complete."""

    findings: list[ChainFinding] = field(default_factory=list)
    chains: int = 0
    seals: int = 0
    entries: int = 0
    heads: int = 0
    next: str | None = None

    @property
    def is_intact(self) -> bool:
        return not self.findings

    def counts(self) -> dict[str, int]:
        """Return the numbers of verified chains, seals, entries and heads, and of findings."""
        return {
            "chains": self.chains,
            "seals": self.seals,
            "entries": self.entries,
            "heads": self.heads,
            "findings": len(self.findings),
        }


@dataclass(slots=True)
class _Place:
    """The position of the verification: in the seals of a chain or, if `entry` is set, in its entries."""

    check: ChainCheck
    entry: str | None = None

    def as_text(self) -> str:
        return json.dumps({"check": self.check.as_dict(), "entry": self.entry}, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Self:
        try:
            given = json.loads(text)
            return cls(ChainCheck(**given["check"]), given["entry"])
        except (ValueError, TypeError, KeyError) as error:
            raise CursorInvalidError from error


def verify_chains(
    *,
    tenant: Tenant | None = None,
    deadline: float | None = None,
    after: str | None = None,
    heads: Iterable[Mapping[str, Any]] = (),
    grace_seconds: float = GRACE_SECONDS,
) -> ChainVerification:
    """Verify the chain of one tenant, or all chains, until done or until `deadline`, a value of `time.monotonic()`.

    `after` is the `next` of an earlier call, to resume from. `heads` are exported heads from outside the database; they
    are checked like the stored ones. An entry may lack its seal for `grace_seconds`. Raise `CursorInvalidError` if
    `after` is malformed or belongs to another tenant's chain.
    """
    verifier = _Verifier(tenant, heads, grace_seconds)
    place = _Place.from_text(after) if after else verifier.begin_after(None)
    if tenant is not None and place is not None and place.check.chain != str(tenant.pk):
        raise CursorInvalidError
    while place is not None:
        place = verifier.step(place)
        is_time_up = deadline is not None and time.monotonic() >= deadline
        if place is not None and is_time_up:
            verifier.outcome.next = place.as_text()
            break
    return verifier.outcome


def verify_seals(chain: UUID, check: ChainCheck | None) -> list[ChainFinding]:
    """Return the faults in the BATCH_SEALS seals after a position; without one, from the beginning of the chain."""
    verifier = _Verifier(None, (), GRACE_SECONDS)
    verifier.check_seals(_Place(check or verifier.begin(chain)), chain)
    return verifier.outcome.findings


def chain_scope(tenant: Tenant | None) -> AbstractContextManager[None]:
    """Return a context manager for the scope in which a tenant's chain can be read; None stands for all tenants."""
    return all_tenants() if tenant is None else tenant_context(tenant)


class _Verifier:
    """One run of the verification: its input, and its findings."""

    def __init__(self, tenant: Tenant | None, heads: Iterable[Mapping[str, Any]], grace_seconds: float) -> None:
        self.tenant = tenant
        self.grace_seconds = grace_seconds
        self.outcome = ChainVerification()
        self.given: dict[UUID, list[Mapping[str, Any]]] = {}
        for head in heads:
            self.given.setdefault(UUID(head["chain"]), []).append(head)

    def begin_after(self, chain: UUID | None) -> _Place | None:
        """Return the start of the next chain, or None after the last."""
        with chain_scope(self.tenant):
            if self.tenant is not None:
                found = self.tenant.pk if chain is None else None
            else:
                candidates = [rows.find_next_chain(chain), *(given for given in self.given if chain and given > chain)]
                found = min((candidate for candidate in candidates if candidate is not None), default=None)
            return None if found is None else _Place(self.begin(found))

    def step(self, place: _Place) -> _Place | None:
        """Verify one batch. Return the next position, or None at the end."""
        chain = UUID(place.check.chain)
        with chain_scope(self.tenant):
            is_more = self._check_entries(place, chain) if place.entry is not None else self.check_seals(place, chain)
        if is_more:
            return place
        self.outcome.chains += 1
        return self.begin_after(chain)

    def begin(self, chain: UUID) -> ChainCheck:
        """Return the check of a chain from its last signed checkpoint, or from its beginning."""
        checkpoint, final = rows.find_checkpoint(chain), rows.find_counter(chain).final_head
        starts = [head for head in (final, checkpoint and export_head(checkpoint).as_dict()) if head]
        good = [head for head in starts if self._is_good(chain, head, "database") and head["chain"] == str(chain)]
        last: Mapping[str, Any] = max(
            good, key=lambda head: int(head["sequence"]), default={"sequence": 0, "hash": GENESIS}
        )
        return ChainCheck.begin(chain, sequence=last["sequence"], chain_hash=last["hash"])

    def check_seals(self, place: _Place, chain: UUID) -> bool:
        """Verify the next batch of seals, and at the end of the chain its end; return whether anything is left."""
        check = place.check
        begin = check.sequence
        # Read before the seals, which then reach at least as far.
        counter = rows.find_counter(chain)
        # The first batch includes seals before the checkpoint, where none should be.
        after = (check.sequence, UUID(check.last_entry)) if check.last_entry else (0, _NO_ID)
        seals = rows.read_seals(chain, after=after, limit=BATCH_SEALS)
        for seal in seals:
            self.outcome.findings.extend(check.take(seal))
        self.outcome.seals += len(seals)
        self._compare_heads(chain, seals, begin, check.sequence)
        if len(seals) < BATCH_SEALS:
            self._check_end(chain, check)
            if not any(finding.chain == chain for finding in self.outcome.findings):
                self.outcome.findings.extend(check_counter(chain, check, counter))
            place.entry = str(_NO_ID)
        return True

    def _check_entries(self, place: _Place, chain: UUID) -> bool:
        states = rows.read_entry_states(chain, after=UUID(place.entry or _NO_ID.hex), limit=BATCH_ENTRIES)
        self.outcome.entries += len(states)
        for state in states:
            if state.is_sealed:
                continue
            if state.waited is None:
                self._report(
                    "entry_inserted",
                    chain,
                    gettext_noop("The entry was written without being queued for sealing."),
                    entry_id=state.entry_id,
                )
            elif state.waited.total_seconds() > self.grace_seconds:
                self._report(
                    "entry_unsealed",
                    chain,
                    gettext_noop("The entry has been unsealed for %(seconds)s s."),
                    {"seconds": round(state.waited.total_seconds())},
                    entry_id=state.entry_id,
                )
        if len(states) < BATCH_ENTRIES:
            return False
        place.entry = str(states[-1].entry_id)
        return True

    def _compare_heads(self, chain: UUID, seals: Sequence[Seal], begin: int, end: int) -> None:
        """Compare each signed head of a range with the seal of its sequence; report only the first that differs."""
        hashes: dict[int, set[str]] = {}
        for seal in seals:
            hashes.setdefault(seal.sequence, set()).add(seal.hash)
        for source, head in self._heads_between(chain, begin, end):
            self.outcome.heads += 1
            found = hashes.get(head["sequence"])
            if not self._is_good(chain, head, source) or found is None or head["hash"] in found:
                continue
            self._report(
                "head_differs",
                chain,
                gettext_noop("The head signed at %(signed_at)s (%(source)s) belongs to another chain."),
                {"signed_at": str(head["signed_at"]), "source": source},
                sequence=head["sequence"],
            )
            break

    def _heads_between(self, chain: UUID, begin: int, end: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for head in rows.find_heads(chain, above=begin, up_to=end):
            yield "database", export_head(head).as_dict()
        for given in self.given.get(chain, ()):
            if begin < given["sequence"] <= end and given["kind"] != "final":
                yield "file", given

    def _check_end(self, chain: UUID, check: ChainCheck) -> None:
        """Report a signed head beyond the last seal: the end was cut off."""
        beyond: list[tuple[str, Mapping[str, Any]]] = [
            ("database", export_head(head).as_dict()) for head in rows.find_heads(chain, above=check.sequence)
        ]
        given = [head for head in self.given.get(chain, ()) if head["sequence"] > check.sequence]
        beyond += [("file", head) for head in sorted(given, key=lambda head: int(head["sequence"]))[-1:]]
        for source, head in beyond:
            self.outcome.heads += 1
            if not self._is_good(chain, head, source) or self._is_there(chain, head) or self._is_erased(chain, head):
                continue
            self._report(
                "end_missing",
                chain,
                gettext_noop("The chain ends at %(end)s, but a signed head is at %(sequence)s (%(source)s)."),
                {"end": check.sequence, "sequence": head["sequence"], "source": source},
                sequence=head["sequence"],
            )
            break

    def _is_there(self, chain: UUID, head: Mapping[str, Any]) -> bool:
        # Seals that were written and signed since the last read.
        seals = rows.read_seals(chain, after=(head["sequence"] - 1, UUID(int=2**128 - 1)), limit=1)
        return bool(seals) and seals[0].sequence == head["sequence"] and seals[0].hash == head["hash"]

    def _is_erased(self, chain: UUID, head: Mapping[str, Any]) -> bool:
        """Return whether a signed final head accounts for the loss of this one."""
        final = rows.find_counter(chain).final_head
        is_of_chain = final and (final["kind"], final["chain"]) == ("final", str(chain))
        return bool(final and is_of_chain and is_head_signed(final) and final["sequence"] >= head["sequence"])

    def _is_good(self, chain: UUID, head: Mapping[str, Any], source: str) -> bool:
        is_signed = is_head_signed(head)
        if is_signed is None:
            self._report(
                "head_key_unknown",
                chain,
                gettext_noop("The signing key %(key)s of a head (%(source)s) is unknown."),
                {"key": str(head["key_id"]), "source": source},
                sequence=head["sequence"],
            )
        elif not is_signed:
            self._report(
                "head_forged",
                chain,
                gettext_noop("The signature of a head (%(source)s) does not match its key %(key)s."),
                {"key": str(head["key_id"]), "source": source},
                sequence=head["sequence"],
            )
        return bool(is_signed)

    def _report(
        self,
        kind: FindingKind,
        chain: UUID,
        text: str,
        values: Mapping[str, str | int] | None = None,
        *,
        sequence: int | None = None,
        entry_id: UUID | None = None,
    ) -> None:
        self.outcome.findings.append(ChainFinding(kind, chain, text, sequence, entry_id, values or {}))
