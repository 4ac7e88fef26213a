"""Verification of the newest seals of the chains that grew last: cheap enough for each evaluation of alerts."""

from __future__ import annotations

from uuid import UUID

from tenants.audit.chain_check import ChainCheck, ChainFinding
from tenants.audit.chain_queries import find_counter
from tenants.audit.heads import export_head, is_head_signed
from tenants.audit.verification import verify_seals
from tenants.models import AuditHead, AuditSeal

# The newest entries, whose chains are verified; the chains at most, and the newest seals of each.
ENTRIES, CHAINS, SEALS = 500, 10, 100
_LAST_ID = UUID(int=2**128 - 1)


def verify_tails() -> list[ChainFinding]:
    """Return the faults in the newest seals of the chains that grew last; call it in the scope of all tenants.

    Each chain is verified from a signed head on. Older seals are verified by `verify_chains`.
    """
    newest = AuditSeal._base_manager.order_by("-pk").values_list("chain", flat=True)[:ENTRIES]
    chains = [*dict.fromkeys(newest)][:CHAINS]
    return [finding for chain in chains for finding in verify_seals(chain, _find_start(chain))]


def _find_start(chain: UUID) -> ChainCheck | None:
    """Return the check of a chain from a signed head that SEALS seals follow, or None if there is none."""
    before = AuditHead._base_manager.filter(chain=chain, sequence__lte=find_counter(chain).sequence - SEALS)
    heads = before.exclude(kind=AuditHead.Kind.FINAL).order_by("-sequence")[:3]
    head = next((head for head in heads if is_head_signed(export_head(head).as_dict())), None)
    if head is None:
        return None
    check = ChainCheck.begin(chain, sequence=head.sequence, chain_hash=head.hash)
    # No seal up to the head is read again.
    check.last_entry = str(_LAST_ID)
    return check
