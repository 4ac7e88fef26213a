"""Routing: the owner of the object, else the first matching route, else the default group."""

from __future__ import annotations

from datetime import UTC, datetime, time
from uuid import UUID, uuid4

import pytest

from scheduling.alerts.routing import AddressBook, contacts_for
from scheduling.alerts.suppression import Subject
from scheduling.models import AlertRoute, Contact

# A Monday.
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
OWNER, NIGHT, DEFAULT = (UUID(int=number) for number in (1, 2, 3))
TENANT = UUID(int=9)


def contact(group: UUID, **changes: object) -> Contact:
    return Contact(group_id=group, channel="slack", label="x", **changes)


def book(*contacts: Contact, routes: tuple[AlertRoute, ...] = ()) -> AddressBook:
    by_group: dict[UUID, list[Contact]] = {}
    for each in contacts or map(contact, (OWNER, NIGHT, DEFAULT)):
        by_group.setdefault(each.group_id, []).append(each)
    return AddressBook({(None, "queue", "pipeline"): OWNER}, {None: routes}, {None: DEFAULT}, by_group)


def groups(alert: Subject, known: AddressBook, now: datetime = NOW) -> set[UUID]:
    return {each.group_id for each in contacts_for(alert, known, now)}


def facts(**changes: object) -> Subject:
    values = {"tenant_id": None, "rule_id": None, "measure": "oldest_wait", "object_key": "pool:io", **changes}
    return Subject(uuid4(), **values)  # type: ignore[arg-type]


def test_owner_of_the_object_precedes_routes_and_default() -> None:
    routes = (AlertRoute(group_id=NIGHT),)
    assert groups(facts(object_key="kind:x", parents=["queue:pipeline"]), book(routes=routes)) == {OWNER}
    assert groups(facts(object_key="queue:other"), book(routes=routes)) == {NIGHT}
    assert groups(facts(), book()) == {DEFAULT}


@pytest.mark.parametrize(
    ("route", "is_matching"),
    [
        (AlertRoute(group_id=NIGHT, measure="oldest_wait", min_severity="warning"), True),
        (AlertRoute(group_id=NIGHT, measure="share"), False),
        (AlertRoute(group_id=NIGHT, min_severity="critical"), False),
        (AlertRoute(group_id=NIGHT, only_tenant=TENANT), True),
        (AlertRoute(group_id=NIGHT, only_tenant=UUID(int=8)), False),
        (AlertRoute(group_id=NIGHT, active_days=[1]), True),
        (AlertRoute(group_id=NIGHT, active_days=[6, 7]), False),
        (AlertRoute(group_id=NIGHT, active_from=time(22), active_until=time(6)), False),
        (AlertRoute(group_id=NIGHT, active_from=time(22), active_until=time(6), zone="Asia/Tokyo"), False),
        (AlertRoute(group_id=NIGHT, active_from=time(20), active_until=time(6), zone="Asia/Tokyo"), True),
    ],
)
def test_route_matches_by_measure_severity_tenant_and_hours(route: AlertRoute, is_matching: bool) -> None:
    expected = {NIGHT} if is_matching else {DEFAULT}
    assert groups(facts(about_tenant=TENANT), book(routes=(route,))) == expected


def test_group_without_an_enabled_contact_is_passed_over() -> None:
    assert groups(facts(object_key="queue:pipeline"), book(contact(DEFAULT))) == {DEFAULT}


def test_contacts_of_a_higher_severity_are_left_out_without_a_substitute() -> None:
    known = book(contact(OWNER, min_severity="critical"), contact(DEFAULT))
    assert groups(facts(object_key="queue:pipeline"), known) == set()
    assert groups(facts(object_key="queue:pipeline", severity="critical"), known) == {OWNER}


def test_tenants_alert_never_reaches_contacts_of_others() -> None:
    assert groups(facts(tenant_id=TENANT, object_key="queue:pipeline"), book()) == set()
