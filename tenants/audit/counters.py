"""The comparison of a verified chain with its counter, which only rises and so reveals removed seals and heads."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from tenants.audit.chain_check import ChainCheck, ChainFinding
from tenants.audit.chain_queries import find_counter, find_heads
from tenants.models import AuditCounter


def check_counter(chain: UUID, check: ChainCheck, counter: AuditCounter) -> Iterator[ChainFinding]:
    """Yield the faults found by comparing a completely verified chain with its counter.

    `counter` must have been read before the seals, so that later seals are no fault.
    """
    end, stood, signed = check.sequence, counter.sequence, counter.signed_sequence
    if end < stood:
        text = "The chain ends at %(end)s, but its counter is at %(sequence)s."
        yield ChainFinding("end_missing", chain, text, stood, values={"end": end, "sequence": stood})
    elif end == stood and counter.hash not in check.tips:
        yield ChainFinding("counter_differs", chain, "The last seal differs from the one in the counter.", stood)
    elif end and not find_counter(chain).sequence:
        yield ChainFinding("counter_differs", chain, "The chain has seals but no counter.", end)
    # A checkpoint or final head replaces the heads before it.
    if signed > check.start and not find_heads(chain, above=signed - 1):
        text = "The chain was signed up to %(sequence)s, but that head is missing."
        yield ChainFinding("heads_missing", chain, text, signed, values={"sequence": signed})
