"""Checks of the readiness probe. Ready means that jobs can be accepted: the database accepts writes and is migrated.

Broker, dispatcher, publishing, starts of jobs and the auditor are checked and reported too. If one of them fails,
requests are still accepted, but jobs or audit entries wait until it is repaired.
"""

import dataclasses
from datetime import timedelta

from django.db import DatabaseError, connections
from django.db.models import DurationField, ExpressionWrapper, Max
from django.db.models.functions import Now
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable

from scheduling.diagnosis.starts import STALLED_AFTER, stall_watch
from scheduling.dispatch import broker_probes
from scheduling.exceptions import BrokerUnavailableError
from scheduling.fleet.auditors import find_auditor_fault
from scheduling.models import PoolClock
from tenants.context import all_tenants
from tenants.database.conf import APP_ALIAS
from tenants.database.pending_migrations import count_pending_migrations
from tenants.database.write_probe import READ_ONLY, write_watch

# Many times the dispatcher's longest pause between ticks, and less than a lease.
DISPATCHER_STALE_AFTER = timedelta(seconds=10)
PUBLISHING_FAILED_FOR = timedelta(seconds=10)


@dataclasses.dataclass
class Migrations(HealthCheck):
    """Check that all migrations are applied."""

    def run(self) -> None:
        """Raise ServiceUnavailable if migrations are not applied, or the database does not respond."""
        try:
            pending = count_pending_migrations()
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not respond.") from error
        finally:
            connections[APP_ALIAS].close()
        if pending:
            raise ServiceUnavailable(f"{pending} migrations are not applied.")


@dataclasses.dataclass
class Writes(HealthCheck):
    """Check that the database accepts writes: it is not a standby, and its disks have room."""

    def run(self) -> None:
        """Raise ServiceUnavailable if the database does not accept writes; the result may be five seconds old."""
        if fault := write_watch.read():
            # The full text may name files, which outsiders must not see.
            raise ServiceUnavailable(fault if fault == READ_ONLY else "The database does not accept writes.")


@dataclasses.dataclass
class Broker(HealthCheck):
    """Check that the broker responds to a ping."""

    def run(self) -> None:
        """Raise ServiceUnavailable if the broker does not respond."""
        try:
            broker_probes.probe()
        except BrokerUnavailableError as error:
            # The full text may name the address, which outsiders must not see.
            raise ServiceUnavailable("The broker does not respond.") from error


@dataclasses.dataclass
class Dispatcher(HealthCheck):
    """Check that a dispatcher has ticked recently, by the database's clock."""

    def run(self) -> None:
        """Raise ServiceUnavailable if the last tick is more than DISPATCHER_STALE_AFTER ago."""
        try:
            age = self._age()
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not respond.") from error
        finally:
            # The check runs in a thread of its own, whose connection would not be reused.
            connections[APP_ALIAS].close()
        if age is None:
            raise ServiceUnavailable("No dispatcher has ticked yet.")
        if age > DISPATCHER_STALE_AFTER:
            raise ServiceUnavailable(f"The last tick was {age.total_seconds():.0f} s ago.")

    @staticmethod
    def _age() -> timedelta | None:
        # The dispatchers' rows belong to the platform, not to a tenant.
        with all_tenants():
            latest = PoolClock.objects.aggregate(
                age=ExpressionWrapper(Now() - Max("ticked_at"), output_field=DurationField())
            )
        age: timedelta | None = latest["age"]
        return age


@dataclasses.dataclass
class Publishing(HealthCheck):
    """Check that the broker has accepted all messages of the last seconds."""

    def run(self) -> None:
        """Raise ServiceUnavailable if the broker has refused a message within PUBLISHING_FAILED_FOR."""
        try:
            with all_tenants():
                failed = PoolClock.objects.filter(publish_failed_at__gt=Now() - PUBLISHING_FAILED_FOR)
                names = list(failed.order_by("pool__name").values_list("pool__name", flat=True))
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not respond.") from error
        finally:
            connections[APP_ALIAS].close()
        if names:
            raise ServiceUnavailable(f"The broker accepts no messages of: {', '.join(names)}.")


@dataclasses.dataclass
class Starts(HealthCheck):
    """Check that waiting jobs are started, unless all slots are busy."""

    def run(self) -> None:
        """Raise ServiceUnavailable if a pool is stalled: jobs wait there, and none is started."""
        try:
            stalled = stall_watch.read()
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not respond.") from error
        finally:
            connections[APP_ALIAS].close()
        if stalled:
            seconds = f"{STALLED_AFTER.total_seconds():.0f}"
            raise ServiceUnavailable(
                f"Jobs wait, and none has started for {seconds} s despite free slots or for lack of a worker, in: "
                f"{', '.join(stalled)}."
            )


@dataclasses.dataclass
class Auditor(HealthCheck):
    """Check that an auditor runs: it has a heartbeat, and no audit entry waits long for it."""

    def run(self) -> None:
        """Raise ServiceUnavailable if no auditor runs."""
        try:
            with all_tenants():
                lapse = find_auditor_fault()
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not respond.") from error
        finally:
            connections[APP_ALIAS].close()
        if lapse:
            raise ServiceUnavailable(lapse)
