"""Rules, contacts and readings that the tests of alerts share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduling.alerts import evaluator as evaluators
from scheduling.alerts.evaluation import Reading, evaluate
from scheduling.alerts.grouping import flush
from scheduling.alerts.measures import Measure, measures
from scheduling.alerts.rules import Per, Sample
from scheduling.models import Alert, AlertMessage, AlertNotice, AlertRule, Contact, ContactGroup
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.models import Tenant


def make_rule(**changes: Any) -> AlertRule:
    """Create a rule that fires at once, and clears at once."""
    values: dict[str, Any] = {
        "name": "waits",
        "measure": "oldest_wait",
        "per": "queue",
        "comparison": "gt",
        "threshold": 100,
        "for_seconds": 0,
        "clear_seconds": 0,
    }
    with all_tenants():
        rule: AlertRule = AlertRule.objects.create(**{**values, **changes})
    return rule


def make_contact(tenant: Tenant | None = None, **changes: Any) -> Contact:
    """Create the default group of a tenant, or of the platform, with one contact."""
    with all_tenants():
        ContactGroup.objects.filter(tenant=tenant).delete()
        group = ContactGroup.objects.create(tenant=tenant, name="on call", is_default=True)
        values = {"group": group, "channel": "webhook", "label": "hook.example", **changes}
        contact: Contact = Contact.objects.create(tenant=tenant, **values)
    return contact


class Turns:
    """Evaluations of planted values, five seconds apart."""

    def __init__(self) -> None:
        with all_tenants():
            self.now: datetime = read_clock()

    def take(self, *samples: Sample, measure: str = "oldest_wait", seconds: float = 5.0, **options: Any) -> int:
        """Evaluate the samples of one measure; return how many alerts have changed."""
        self.now += timedelta(seconds=seconds)
        with all_tenants():
            return evaluate([Reading(measures()[measure], samples, self.now, **options)], self.now)

    def send(self) -> int:
        """Send what is due as if the group's wait and interval were over; return the number of messages."""
        with all_tenants():
            AlertNotice.objects.filter(message=None, dropped="").update(due_at=read_clock() - timedelta(seconds=1))
            AlertMessage.objects.update(created_at=read_clock() - timedelta(minutes=2))
            return flush(read_clock())


class Planted:
    """A measure whose samples, or error, a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.samples: list[Sample] = []
        self.error: Exception | None = None
        self.reads = 0
        self.before: Callable[[], object] = lambda: None
        planted = {
            "oldest_wait": Measure("oldest_wait", "", "s", (Per.QUEUE,), self.read, seconds=1.0, **options),
            "check": Measure("check", "", "", (Per.CHECK,), lambda now: (), seconds=1.0),
        }
        monkeypatch.setattr(evaluators, "measures", lambda: planted)

    def read(self, now: object) -> list[Sample]:
        self.reads += 1
        self.before()
        if self.error is not None:
            raise self.error
        return self.samples


def wait(value: float, queue: str = "pipeline", **options: Any) -> Sample:
    """Return a sample of a queue's oldest wait."""
    return Sample(f"queue:{queue}", value, queue, parents=("pool:default",), **options)


def only_alert() -> Alert:
    """Return the only alert there is."""
    with all_tenants():
        return Alert.objects.select_related("rule").get()


def notices() -> list[tuple[str, str]]:
    """Return what each notice says, and why it was dropped."""
    with all_tenants():
        return list(AlertNotice.objects.order_by("pk").values_list("what", "dropped"))
