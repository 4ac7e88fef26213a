"""What "ready" means: whatever accepting a job needs, a database that takes writes and its tables.

Broker, dispatcher, publishing, starts and auditor are looked at too, and what is wrong is told: until that is mended,
accepted jobs and audit entries wait, and no request need be turned away.
"""

import dataclasses
from datetime import timedelta

from django.db import DatabaseError, connections
from django.db.models import DurationField, ExpressionWrapper, Max
from django.db.models.functions import Now
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable

from scheduling.diagnosis.starts import STALLED_AFTER, stall_watch
from scheduling.dispatch import broker
from scheduling.exceptions import BrokerUnavailableError
from scheduling.fleet.auditors import read_audit_lapse
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
    """The tables are as this code expects them."""

    def run(self) -> None:
        """Raise ServiceUnavailable unless they are."""
        try:
            pending = count_pending_migrations()
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not answer.") from error
        finally:
            connections[APP_ALIAS].close()
        if pending:
            raise ServiceUnavailable(f"{pending} migrations are not applied.")


@dataclasses.dataclass
class Writes(HealthCheck):
    """The database takes writes: it is no standby, and its disks have room."""

    def run(self) -> None:
        """Raise ServiceUnavailable unless it does, by a probe that is at most five seconds old."""
        if fault := write_watch.read():
            # Its own text may name files, which outsiders need not know.
            raise ServiceUnavailable(fault if fault == READ_ONLY else "The database takes no writes.")


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
            connections[APP_ALIAS].close()
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
class Publishing(HealthCheck):
    """The broker has taken every message of the last seconds."""

    def run(self) -> None:
        """Raise ServiceUnavailable unless it has."""
        try:
            with all_tenants():
                failed = PoolClock.objects.filter(publish_failed_at__gt=Now() - PUBLISHING_FAILED_FOR)
                names = list(failed.order_by("pool__name").values_list("pool__name", flat=True))
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not answer.") from error
        finally:
            connections[APP_ALIAS].close()
        if names:
            raise ServiceUnavailable(f"The broker takes no messages of: {', '.join(names)}.")


@dataclasses.dataclass
class Starts(HealthCheck):
    """Jobs that wait begin, unless all slots are busy."""

    def run(self) -> None:
        """Raise ServiceUnavailable unless they do."""
        try:
            stalled = stall_watch.read()
        except DatabaseError as error:
            raise ServiceUnavailable("The database does not answer.") from error
        finally:
            connections[APP_ALIAS].close()
        if stalled:
            seconds = f"{STALLED_AFTER.total_seconds():.0f}"
            raise ServiceUnavailable(
                f"Jobs wait, and none has begun for {seconds} s beside free slots or for lack of a worker,"
                f" in: {', '.join(stalled)}."
            )


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
            connections[APP_ALIAS].close()
        if lapse:
            raise ServiceUnavailable(lapse)
