"""What "ready" means: whatever accepting a job needs, the database and its tables.

Broker, dispatcher and auditor are looked at too, and their absence is told: until they return, accepted jobs and audit
entries wait, and no request need be turned away.
"""

import dataclasses
from datetime import timedelta

from django.db import DatabaseError, connections
from django.db.models import DurationField, ExpressionWrapper, Max
from django.db.models.functions import Now
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable

from scheduling import broker
from scheduling.exceptions import BrokerUnavailableError
from scheduling.models import PoolClock
from scheduling.selectors.auditors import read_audit_lapse
from tenants.context import all_tenants
from tenants.pending_migrations import count_pending_migrations

# Many times the dispatcher's longest pause between ticks, and less than a lease.
DISPATCHER_STALE_AFTER = timedelta(seconds=10)


@dataclasses.dataclass
class Migrations(HealthCheck):
    """The tables are as this code expects them."""

    def run(self) -> None:
        """Raise ServiceUnavailable unless they are."""
        try:
            pending = count_pending_migrations()
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not answer.") from error
        finally:
            connections["default"].close()
        if pending:
            raise ServiceUnavailable(f"{pending} migrations are not applied.")


@dataclasses.dataclass
class Broker(HealthCheck):
    """The broker answers a ping."""

    def run(self) -> None:
        """Raise ServiceUnavailable unless it does."""
        try:
            broker.probe()
        except BrokerUnavailableError as error:
            # Its own text may name the address, which outsiders need not know.
            raise ServiceUnavailable("The broker does not answer.") from error


@dataclasses.dataclass
class Dispatcher(HealthCheck):
    """Some dispatcher has ticked lately, by the database's clock."""

    def run(self) -> None:
        """Raise ServiceUnavailable unless it has."""
        try:
            age = self._age()
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not answer.") from error
        finally:
            # The check runs in a thread of its own, whose connection nobody would use again.
            connections["default"].close()
        if age is None:
            raise ServiceUnavailable("No dispatcher has run yet.")
        if age > DISPATCHER_STALE_AFTER:
            raise ServiceUnavailable(f"The last tick was {age.total_seconds():.0f} s ago.")

    @staticmethod
    def _age() -> timedelta | None:
        # The dispatcher's own rows are the platform's, not any tenant's.
        with all_tenants():
            latest = PoolClock.objects.aggregate(
                age=ExpressionWrapper(Now() - Max("ticked_at"), output_field=DurationField())
            )
        age: timedelta | None = latest["age"]
        return age


@dataclasses.dataclass
class Auditor(HealthCheck):
    """Some auditor works: it has a heartbeat, and no audit entry waits long for its seal."""

    def run(self) -> None:
        """Raise ServiceUnavailable unless it does."""
        try:
            with all_tenants():
                lapse = read_audit_lapse()
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not answer.") from error
        finally:
            connections["default"].close()
        if lapse:
            raise ServiceUnavailable(lapse)
