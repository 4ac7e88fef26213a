"""Verifications that are asked for: answered at once, gone on with by upkeep, one at a time, seen by their tenant."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import translation
from rest_framework.test import APIClient

from scheduling.exceptions import BrokerUnavailableError
from scheduling.models import UpkeepRun
from scheduling.services.upkeep import prompts, tasks
from scheduling.services.upkeep.runs import run_upkeep
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.models import AuditLogEntry, AuditVerification, Role, Tenant
from tenants.services import audit_requests
from tenants.services.audit_requests import Requested, advance_next, request_verification
from tenants.services.audit_verification import Pace
from tenants.services.memberships import add_member
from tests.conftest import PASSWORD
from tests.integration.audit.conftest import seals_of

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/api/v1/audit-verifications/"
VERIFY = reverse("admin:tenants_auditlogentry_verify")
LIST = reverse("admin:tenants_auditverification_changelist")
ALICE = Actor(kind="user", id="7", label="alice")


@pytest.fixture
def prompted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the maintenance pool was asked to run."""
    names: list[str] = []
    monkeypatch.setattr(prompts, "publish_upkeep", names.append)
    return names


@pytest.fixture
def long_chain(sealed_log: None, prompted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seals and more, of which every look sees two."""
    monkeypatch.setattr(audit_requests, "FIRST_LOOK", Pace(seals=2, entries=2, steps=1))
    monkeypatch.setattr("tenants.services.audit_verification.BATCH_SEALS", 2)
    monkeypatch.setattr("tenants.services.audit_verification.BATCH_ENTRIES", 2)


def entries(action: str) -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action=action).order_by("id"))


def stored(requested: Requested) -> AuditVerification:
    with all_tenants():
        return AuditVerification.objects.get(pk=requested.verification.pk)


def spoil(owner: Any, tenant: Tenant, place: int = 4) -> None:
    owner.execute("UPDATE tenants_auditlogentry SET reason = 'x' WHERE id = %s", [seals_of(tenant.pk)[place].entry_id])


def console_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_short_chain_is_verified_by_the_request_itself(
    sealed_log: None, acme: Tenant, api_client: Callable[[Tenant], APIClient], prompted: list[str]
) -> None:
    answer = api_client(acme).post(ADDRESS, {})
    body = answer.json()
    assert (answer.status_code, body["state"], body["is_complete"], body["progress"]) == (201, "intact", True, 1.0)
    assert body["covered"]["chains"] == 1
    assert body["covered"]["seals"] == len(seals_of(acme.pk))
    assert (body["findings"], body["actor_kind"]) == ([], "api_key")
    assert answer["Location"].endswith(f"{ADDRESS}{body['id']}/")
    assert api_client(acme).get(answer["Location"]).json() == body
    (entry,) = entries("audit.verified")
    assert (entry.tenant_id, entry.target_id, entry.after["findings"]) == (acme.pk, body["id"], 0)
    assert (prompted, entries("audit.verification_requested")) == ([], [])


def test_what_it_finds_is_told_kept_and_logged(
    sealed_log: None, owner: Any, acme: Tenant, api_client: Callable[[Tenant], APIClient], caplog: Any
) -> None:
    seal = seals_of(acme.pk)[4]
    spoil(owner, acme)
    body = api_client(acme).post(ADDRESS, {}).json()
    (finding,) = body["findings"]
    assert (body["state"], body["finding_count"]) == ("altered", 1)
    assert (finding["kind"], finding["sequence"], finding["entry"]) == ("entry_edited", 5, str(seal.entry_id))
    assert api_client(acme).get(ADDRESS).json()["results"] == [body]
    assert [entry.after["findings"] for entry in entries("audit.verified")] == [1]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["audit.altered"]


def test_a_long_chain_is_gone_on_with_by_upkeep_to_the_same_end(
    long_chain: None, owner: Any, acme: Tenant, prompted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(owner, acme, place=8)
    with acting_as(ALICE):
        begun = request_verification(tenant=acme)
    row = stored(begun)
    assert (row.is_complete, row.state, row.seals) == (False, "running", 2)
    assert 0 < row.progress < 1
    assert prompted == [prompts.ASKED_FOR_VERIFICATIONS]
    monkeypatch.setattr(tasks, "PART_SECONDS", -1.0)
    run = run_upkeep(name=prompts.ASKED_FOR_VERIFICATIONS)
    assert (run.outcome, run.counts["verifications_finished"], run.counts["findings"]) == (UpkeepRun.Outcome.OK, 1, 1)
    row = stored(begun)
    assert (row.is_complete, row.state, row.progress, row.place) == (True, "altered", 1.0, "")
    # What the walk itself has added stands unsealed at the end.
    assert (row.seals, row.chains) == (len(seals_of(acme.pk)), 1)
    assert [finding["sequence"] for finding in row.findings] == [9]
    (asked,), (verified,) = entries("audit.verification_requested"), entries("audit.verified")
    assert {entry.actor_label for entry in (asked, verified)} == {"alice"}
    assert (verified.tenant_id, verified.after["findings"]) == (acme.pk, 1)


def test_who_asks_while_one_goes_on_gets_that_one(
    long_chain: None, acme: Tenant, globex: Tenant, api_client: Callable[[Tenant], APIClient], prompted: list[str]
) -> None:
    first = api_client(acme).post(ADDRESS, {})
    second = api_client(acme).post(ADDRESS, {})
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert len(entries("audit.verification_requested")) == 1
    assert request_verification(tenant=globex).is_new
    everything = request_verification(tenant=None)
    assert everything.is_new
    assert request_verification(tenant=None) == Requested(stored(everything), is_new=False)


def test_of_two_who_ask_at_once_one_begins(long_chain: None, acme: Tenant) -> None:
    together = threading.Barrier(2)
    answers: list[Requested] = []

    def ask() -> None:
        try:
            together.wait(10)
            answers.append(request_verification(tenant=acme))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {answer.verification.pk for answer in answers} == {answers[0].verification.pk}
    assert sorted(answer.is_new for answer in answers) == [False, True]


def test_a_part_whose_process_died_is_looked_at_again_and_counted_once(
    long_chain: None, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = request_verification(tenant=acme)
    before = stored(begun)

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(audit_requests, "_write", die)
        with pytest.raises(KeyboardInterrupt):
            advance_next(seconds=-1)
    after = stored(begun)
    assert (after.place, after.seals) == (before.place, before.seals)
    while advance_next(seconds=-1) is not None:
        pass
    assert stored(begun).seals == len(seals_of(acme.pk))


def test_of_two_that_go_on_from_one_place_one_is_counted(
    long_chain: None, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = request_verification(tenant=acme)
    write = audit_requests._write

    def be_overtaken(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(audit_requests, "_write", write)
        advance_next(seconds=-1)
        write(*args, **kwargs)

    monkeypatch.setattr(audit_requests, "_write", be_overtaken)
    advance_next(seconds=-1)
    assert stored(begun).seals == 4


def test_those_asked_for_take_turns(long_chain: None, acme: Tenant, globex: Tenant) -> None:
    begun = [request_verification(tenant=None), request_verification(tenant=acme), request_verification(tenant=globex)]
    before = [stored(each).place for each in begun]
    for _ in begun:
        advance_next(seconds=-1)
    assert all(stored(each).place != place for each, place in zip(begun, before, strict=True))


def test_a_place_that_an_older_program_has_left_begins_anew(long_chain: None, acme: Tenant) -> None:
    begun = request_verification(tenant=acme)
    with all_tenants():
        AuditVerification.objects.filter(pk=begun.verification.pk).update(place='{"check": {}}', seals=999, chains=9)
    while advance_next(seconds=-1) is not None:
        pass
    row = stored(begun)
    assert (row.seals, row.chains, row.state) == (len(seals_of(acme.pk)), 1, "intact")


def test_a_broker_that_is_away_leaves_it_to_beat(
    long_chain: None, acme: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def refuse(name: str) -> None:
        raise BrokerUnavailableError("away")

    monkeypatch.setattr(prompts, "publish_upkeep", refuse)
    begun = request_verification(tenant=acme)
    assert [record.message for record in caplog.records] == ["upkeep.not_prompted"]
    assert run_upkeep(name=prompts.ASKED_FOR_VERIFICATIONS).outcome == UpkeepRun.Outcome.OK
    assert stored(begun).is_complete


def test_a_tenant_sees_its_own_and_nobody_elses(
    sealed_log: None, acme: Tenant, globex: Tenant, api_client: Callable[[Tenant], APIClient]
) -> None:
    others = [request_verification(tenant=globex), request_verification(tenant=None)]
    own = request_verification(tenant=acme)
    client = api_client(acme)
    assert [row["id"] for row in client.get(ADDRESS).json()["results"]] == [str(own.verification.pk)]
    for other in others:
        assert client.get(f"{ADDRESS}{other.verification.pk}/").status_code == 404
    with tenant_context(acme):
        assert AuditVerification._base_manager.count() == 1


def test_the_console_leads_to_the_verification_and_follows_it(
    long_chain: None, owner: Any, acme: Tenant, acme_user: User
) -> None:
    spoil(owner, acme)
    client = console_of(acme_user)
    assert client.get(VERIFY).status_code == 405
    page = client.post(VERIFY, follow=True)
    html = page.content.decode()
    assert 'data-live data-etag="' in html
    assert "goes on" in html
    assert "goes on already" in client.post(VERIFY, follow=True).content.decode()
    with all_tenants():
        row = AuditVerification.objects.get()
    part = reverse("admin:tenants_auditverification_part", args=[row.pk])
    seen = client.get(part)
    assert 'aria-valuenow="' in seen.content.decode()
    assert client.get(part, headers={"if-none-match": seen["ETag"]}).status_code == 304
    run_upkeep(name=prompts.ASKED_FOR_VERIFICATIONS)
    after = client.get(part).content.decode()
    assert "not intact" in after
    assert "entry_edited" in after
    whole = client.get(page.redirect_chain[-1][0]).content.decode()
    assert "entry_edited" in whole
    assert "data-live " not in whole
    assert "not intact" in client.get(LIST).content.decode()


def test_staff_verifies_the_tenant_that_is_shown_or_all(
    sealed_log: None, owner: Any, acme: Tenant, globex: Tenant, staff: User, prompted: list[str]
) -> None:
    spoil(owner, acme)
    client = console_of(staff)
    assert "intact" in client.post(f"{VERIFY}?tenant=globex", follow=True).content.decode()
    # All chains take more than a request.
    assert "goes on" in client.post(VERIFY, follow=True).content.decode()
    assert prompted == [prompts.ASKED_FOR_VERIFICATIONS]
    run_upkeep(name=prompts.ASKED_FOR_VERIFICATIONS)
    assert "no tenant" in client.post(f"{VERIFY}?tenant=nobody", follow=True).content.decode().lower()
    with all_tenants():
        rows = AuditVerification.objects.order_by("id")
        assert [(row.tenant_id, row.state, row.actor_label) for row in rows] == [
            (globex.pk, "intact", "stella"),
            (None, "altered", "stella"),
        ]
    assert "all chains" in client.get(LIST).content.decode()


def test_nobody_without_the_right_sees_or_begins_one(sealed_log: None, acme: Tenant) -> None:
    own = request_verification(tenant=acme)
    viewer = User.objects.create_user("vera", password=PASSWORD, is_staff=True)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    client = console_of(viewer)
    part = reverse("admin:tenants_auditverification_part", args=[own.verification.pk])
    assert [client.get(LIST).status_code, client.get(part).status_code] == [403, 403]
    assert client.post(VERIFY).status_code == 403
    with all_tenants():
        assert AuditVerification.objects.count() == 1


def test_a_finding_is_told_in_the_readers_language(sealed_log: None, owner: Any, acme: Tenant, staff: User) -> None:
    spoil(owner, acme)
    found = request_verification(tenant=acme).verification
    page = reverse("admin:tenants_auditverification_part", args=[found.pk])
    client = console_of(staff)
    assert "The entry is not what was sealed." in client.get(page).content.decode()
    assert "该记录与封存时不一致。" in client.get(page, headers={"accept-language": "zh-hans"}).content.decode()
    # As those are that were found by an older version.
    (kept,) = found.findings
    with all_tenants():
        old = {name: value for name, value in kept.items() if name not in {"text", "values"}}
        AuditVerification.objects.filter(pk=found.pk).update(findings=[old])
    assert "The entry is not what was sealed." in client.get(page).content.decode()


def test_the_api_tells_a_finding_in_the_language_that_it_is_asked_for(
    sealed_log: None, owner: Any, acme: Tenant, api_client: Callable[[Tenant], APIClient]
) -> None:
    spoil(owner, acme)
    found = request_verification(tenant=acme).verification
    path = f"/api/v1/audit-verifications/{found.pk}/"
    english = api_client(acme).get(path).json()["findings"]
    chinese = api_client(acme).get(path, headers={"accept-language": "zh-hans"}).json()["findings"]
    assert [finding["detail"] for finding in english] == ["The entry is not what was sealed."]
    assert [finding["detail"] for finding in chinese] == ["该记录与封存时不一致。"]
    assert [finding.keys() for finding in english] == [{"kind", "chain", "sequence", "entry", "detail"}]


def test_upkeep_tells_of_a_chain_in_the_readers_language(sealed_log: None, owner: Any, acme: Tenant) -> None:
    spoil(owner, acme)
    run = run_upkeep(name="verify_audit")
    assert run.findings[0].startswith(f"audit_chain of tenant {acme.pk}: 1.")
    assert "entry_edited. The entry is not what was sealed." in run.findings[0]
    with translation.override("zh-hans"):
        assert "该记录与封存时不一致。" in run.sentences[0].told
