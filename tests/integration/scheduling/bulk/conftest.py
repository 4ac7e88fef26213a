"""Helpers that start bulk operations, and run their turns as a dispatcher does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from scheduling.bulk import turns
from scheduling.bulk.starting import start_bulk_operation
from scheduling.bulk.turns import open_operations, take_turn
from scheduling.models import BulkOperation
from tenants.context import Actor, Scope, acting_as, scope_context
from tenants.models import Tenant

type Start = Callable[..., BulkOperation]
ALICE = Actor(kind="user", id="7", label="alice", request_id="r1", is_of_tenant=True)
STELLA = Actor(kind="user", id="8", label="stella", request_id="r2")


@pytest.fixture
def start_bulk(db: None, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start an operation as acme's Alice, or as the platform's Stella if there is no tenant."""
    # The timeouts of a turn's transaction would apply to the whole test.
    monkeypatch.setattr(turns, "TURN_IDLE_TIMEOUT_MS", 600_000)

    def start(tenant: Tenant | None, filter_text: str, operation: str, **options: Any) -> BulkOperation:
        parameters = options.pop("parameters", {})
        with (
            scope_context(Scope(tenant_id=tenant.pk if tenant else None)),
            acting_as(options.pop("actor", ALICE if tenant else STELLA)),
        ):
            return start_bulk_operation(
                filter_text=filter_text,
                operation=operation,
                parameters=parameters,
                reason=options.pop("reason", "a test"),
                **options,
            )

    return start


def take_turns(most: int = 500) -> int:
    """Run turns until no operation is open or able to go on; return how many."""
    # The timeouts of a turn's transaction would apply to the whole test.
    with patch.object(turns, "TURN_IDLE_TIMEOUT_MS", 600_000):
        for taken in range(most):
            opened = open_operations()
            if not opened:
                return taken
            for operation in opened:
                take_turn(operation)
    raise AssertionError("A bulk operation does not end.")


def reload_operation(operation: BulkOperation) -> BulkOperation:
    """Return the operation as it is in the database now."""
    with scope_context(Scope(tenant_id=None)):
        return BulkOperation.objects.get(pk=operation.pk)
