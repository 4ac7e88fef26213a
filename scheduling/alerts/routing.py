"""The contacts that an alert notifies: those of its object's owner, else of the first matching route, else the default.

A group without an enabled contact is passed over, so that a disabled contact does not hide an alert.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from scheduling.alerts.contact_models import Severity
from scheduling.alerts.rules import is_active
from scheduling.alerts.suppression import Subject
from scheduling.models import AlertOwner, AlertRoute, Contact, ContactGroup

SEVERITIES = Severity.values


@dataclass(frozen=True, slots=True)
class AddressBook:
    """All owners, routes, default groups and enabled contacts, these without their targets."""

    owners: Mapping[tuple[UUID | None, str, str], UUID]
    routes: Mapping[UUID | None, Sequence[AlertRoute]]
    defaults: Mapping[UUID | None, UUID]
    contacts: Mapping[UUID, Sequence[Contact]]


def read_book() -> AddressBook:
    """Read the address book of the current scope."""
    routes: dict[UUID | None, list[AlertRoute]] = defaultdict(list)
    for route in AlertRoute.objects.order_by("position"):
        routes[route.tenant_id].append(route)
    contacts: dict[UUID, list[Contact]] = defaultdict(list)
    for contact in Contact.objects.filter(is_enabled=True).order_by("pk").defer("sealed_target", "sealed_secret"):
        contacts[contact.group_id].append(contact)
    owners = AlertOwner.objects.values_list("tenant_id", "target", "name", "group_id")
    defaults = ContactGroup.objects.filter(is_default=True).values_list("tenant_id", "pk")
    return AddressBook(
        {(tenant, target, name): group for tenant, target, name, group in owners}, routes, dict(defaults), contacts
    )


def contacts_for(alert: Subject, book: AddressBook, now: datetime) -> Sequence[Contact]:
    """Return the contacts to notify: none whose minimum severity is higher."""
    group = next((each for each in _groups_of(alert, book, now) if book.contacts.get(each)), None)
    contacts = book.contacts[group] if group else ()
    return [contact for contact in contacts if is_as_severe(alert.severity, contact.min_severity)]


def is_as_severe(severity: str, least: str) -> bool:
    """Return whether a severity is at least another one."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


def _groups_of(alert: Subject, book: AddressBook, now: datetime) -> Iterator[UUID]:
    for key in (alert.key, *alert.parents):
        target, _, name = key.partition(":")
        if owner := book.owners.get((alert.tenant_id, target, name)):
            yield owner
    yield from (route.group_id for route in book.routes.get(alert.tenant_id, ()) if _matches(route, alert, now))
    if default := book.defaults.get(alert.tenant_id):
        yield default


def _matches(route: AlertRoute, alert: Subject, now: datetime) -> bool:
    return (
        route.measure in ("", alert.measure)
        and is_as_severe(alert.severity, route.min_severity)
        and route.only_tenant in (None, alert.about_tenant)
        and is_active(route, now)
    )
