"""Operations of the auditor for tests, each on the auditor's own login, which sees only committed rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from typing import Any

from scheduling.upkeep.auditor import AuditorLoop
from tenants.audit import heads as audit_heads
from tenants.audit import pruning as audit_pruning
from tenants.audit import removals as audit_removals
from tenants.audit import sealing
from tenants.audit.auditor import auditor_login
from tenants.erasure.steps import advance

__all__ = ["auditor_login"]


def _as_auditor[**P, T](act: Callable[P, T]) -> Callable[P, T]:
    @wraps(act)
    def on_its_login(*args: P.args, **kwargs: P.kwargs) -> T:
        with auditor_login():
            return act(*args, **kwargs)

    return on_its_login


seal_entries = _as_auditor(sealing.seal_entries)
sign_heads = _as_auditor(audit_heads.sign_heads)
prune_audit = _as_auditor(audit_pruning.prune_audit)
erase_chain = _as_auditor(audit_pruning.erase_chain)
carry_out_removals = _as_auditor(audit_removals.carry_out_removals)


@contextmanager
def auditing() -> Iterator[None]:
    """Run an auditor in a thread."""
    stopped = threading.Event()

    def audit() -> None:
        with auditor_login():
            AuditorLoop(stopped).run()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(audit)
        try:
            yield
        finally:
            stopped.set()
        running.result(30)


def audit_once() -> None:
    """Run one round of an auditor: seal, and carry out requests."""
    while seal_entries(budget_seconds=60):
        pass
    carry_out_removals()


def advance_erasure(erasure_id: Any, **options: int) -> bool:
    """Run one part of an erasure with an auditor; return whether another call would find work."""
    from tenants.erasure.proof import find_erasure

    audit_once()
    return advance(erasure_id, **options) or (
        find_erasure(erasure_id=erasure_id).note.startswith("Waiting for the auditor") and not audit_once()
    )
