"""Alerts and owners on the pages of their objects, and the owner of a template."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.alerts.rules import Sample
from scheduling.jobs.job_templates.service import TemplateContent, create_template
from scheduling.models import AlertNotice, AlertOwner, Contact, ContactGroup
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.console.conftest import console  # noqa: F401 - a fixture of this folder too
from tests.integration.scheduling.alerts.helpers import Turns, make_contact, make_rule, wait

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def own(target: str, name: str, tenant: Tenant | None = None) -> Contact:
    """Create the owner of an object, a group with one contact."""
    with all_tenants():
        group = ContactGroup.objects.create(tenant=tenant, name=f"owners of {name}")
        AlertOwner.objects.create(tenant=tenant, target=target, name=name, group=group)
        contact: Contact = Contact.objects.create(tenant=tenant, group=group, channel="webhook", label="x")
    return contact


def test_queue_shows_its_alerts_and_its_owner(turns: Turns, staff: User, console: Any) -> None:  # noqa: F811
    make_rule()
    turns.take(wait(101), wait(500, "dataset"))
    own("queue", "pipeline")
    client: Client = console(staff)
    page = client.get(reverse("admin:scheduling_queue_change", args=["pipeline"]), follow=True).content.decode()
    assert "waits: pipeline" in page
    assert "waits: dataset" not in page
    assert "owners of pipeline" in page
    other = client.get(reverse("admin:scheduling_queue_change", args=["tasks_team"]), follow=True).content.decode()
    assert "waits: " not in other
    assert "alertowner/add/?target=queue&amp;name=tasks_team" in other


def test_kind_shows_the_alerts_and_the_owner_of_the_viewers_tenant(
    turns: Turns,
    acme: Tenant,
    acme_user: User,
    console: Any,  # noqa: F811
) -> None:
    make_rule(tenant=acme, name="mine", measure="failure_rate", per="kind", threshold=0.1)
    make_rule(name="theirs", measure="failure_rate", per="kind", threshold=0.1)
    own("kind", "noop", acme)
    own("kind", "noop")
    samples = [Sample("kind:noop", 0.5, "noop"), Sample(f"kind:noop@{acme.pk}", 0.5, "noop", acme.pk)]
    turns.take(*samples, measure="failure_rate")
    page = console(acme_user).get(reverse("admin:job_kinds")).content.decode()
    assert "mine: noop" in page
    assert "theirs: noop" not in page
    assert page.count("owners of noop") == 1


def test_tenant_shows_alerts_of_and_about_it(
    turns: Turns,
    acme: Tenant,
    staff: User,
    console: Any,  # noqa: F811
) -> None:
    make_rule(per="tenant")
    turns.take(Sample(f"tenant:{acme.pk}", 500, "acme", acme.pk))
    client: Client = console(staff)
    page = client.get(reverse("admin:tenants_tenant_change", args=[acme.pk])).content.decode()
    assert "waits: acme" in page
    listed = reverse("admin:scheduling_alert_changelist") + "?tenant=acme"
    assert listed in page
    assert "waits" in client.get(listed).content.decode()


def test_owner_of_a_template_is_notified_of_causes_of_its_jobs(turns: Turns, acme: Tenant) -> None:
    make_rule(tenant=acme, name="cause", measure="new_cause", per="cause", threshold=1)
    make_contact(acme)
    own("kind", "noop", acme)
    owner = own("template", "nightly", acme)
    parents = ("template:nightly", "kind:noop", "queue:tasks_team")
    turns.take(Sample(f"cause:abc@{acme.pk}", 3, "boom", acme.pk, parents), measure="new_cause")
    with all_tenants():
        assert AlertNotice.objects.get().contact_id == owner.pk


def test_template_shows_the_alerts_of_its_jobs_and_its_owner(
    turns: Turns,
    acme: Tenant,
    acme_user: User,
    console: Any,  # noqa: F811
) -> None:
    template = create_template(tenant=acme, name="nightly", content=TemplateContent(kind="noop"))
    own("template", "nightly", acme)
    make_rule(tenant=acme, name="cause", measure="new_cause", per="cause", threshold=1)
    parents = ("template:nightly", "kind:noop")
    turns.take(Sample(f"cause:abc@{acme.pk}", 3, "boom", acme.pk, parents), measure="new_cause")
    page = console(acme_user).get(reverse("admin:scheduling_jobtemplate_change", args=[template.pk])).content.decode()
    assert "cause: boom" in page
    assert "owners of nightly" in page
