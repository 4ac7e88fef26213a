"""The advisory locks of the platform, all declared here so that no two share a key.

A lock has a class and a key within it. The key is either a number (such as a pool's id, or the hash of a tenant's id)
or a text (such as a tenant's id with a name), hashed to 64 bits with the class as the seed. PostgreSQL keeps pairs of
numbers apart from single numbers, so the two forms never collide.

A statement takes a lock by ``pg_advisory_xact_lock(%(tick_lock)s::int, …)`` or similar, with the number of the class as
a parameter. The key of a tenant is ``hashtext(tenant_id::text)``: two tenants with the same hash sometimes wait for
each other, which is harmless.

Every lock belongs to a transaction and is released at its end. A lock of the session would stay on a connection that a
pooler gives to another client.
"""

from __future__ import annotations

from enum import IntEnum, unique

from django.db import connection


@unique
class LockClass(IntEnum):
    """A class of advisory locks. Its number is four letters of its name in ASCII and never changes."""

    # Held by one process of many, for one run of a duty; those of a pool with its id.
    TICK = 0x7469636B
    SLICES = 0x736C6963
    SWEEP = 0x73776570
    CIRCUITS = 0x63697263
    CIRCUITS_TENDED = 0x74656E64
    VERSIONS = 0x76657273
    STANDINGS = 0x6D656173
    ROLLUPS = 0x726F6C6C
    SERIES = 0x73657269
    LIMITS_KEPT = 0x6C696D69
    STOPS_LIFTED = 0x6C696674
    DRAINS = 0x64726E64
    SHARE_SAMPLE = 0x73686172
    GAUGES = 0x67617567
    SEALING = 0x7365616C
    BATCHES = 0x62617463
    BATCHES_CANCELLED = 0x6263616E
    EVENT_RELAY = 0x72656C79
    ALERTS = 0x616C7274
    ANOMALIES = 0x616E6F6D
    LOG_SEGMENTS = 0x6C6F6773
    LOAD = 0x6C6F6164
    BACKUP = 0x6261636B
    OUTBOX = 0x6F757462
    COMPENSATIONS = 0x636F6D70
    # Held to place a legal hold, and shared by every deletion that a hold stops.
    LEGAL_HOLDS = 0x68656C64
    # Held during one turn of a bulk operation, with its id.
    BULK_OPERATION = 0x62756C6B
    # Held where concurrent checks would each see room that the other takes.
    PLATFORM_ADMINS = 0x61646D6E
    BEAT_TASK = 0x62656174
    EDITED_ROW = 0x65646974
    REROUTE = 0x7265726F
    # Held for one tenant, by its hashed id, or by its id and a name.
    LINES = 0x6C696E65
    SCHEDULE_COUNT = 0x73636865
    WAITING_JOBS = 0x77616974
    API_KEY_COUNT = 0x6B657973
    INVITATION_COUNT = 0x696E7669
    IDEMPOTENCY_KEY = 0x69646B79
    FILE_CONTENT = 0x66696C65

    def take(self, key: str = "0") -> str:
        """Return an SQL expression that waits for the lock. ``key`` is an SQL expression of a four-byte integer."""
        return f"pg_advisory_xact_lock({self.value}, ({key})::int)"

    def attempt(self, key: str = "0") -> str:
        """Return an SQL expression that takes the lock if it is free; it is false if another transaction holds it."""
        return f"pg_try_advisory_xact_lock({self.value}, ({key})::int)"

    def take_named(self, text: str) -> str:
        """Return an SQL expression that waits for the lock with a text as its key.

        ``text`` is an SQL expression; a tenant's text begins with its id.
        """
        return f"pg_advisory_xact_lock(hashtextextended({text}, {self.value}))"

    def share(self) -> None:
        """Wait until no transaction holds the lock of the class, and exclude those until this one ends."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", [self.value])

    def hold(self, name: str | None = None) -> None:
        """Wait for the lock of the class, or of ``name`` within it, and hold it until the transaction ends."""
        text = self.take() if name is None else self.take_named("%s")
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {text}", None if name is None else [name])
