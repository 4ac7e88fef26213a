"""Attacks on identity: invitations, keys, scopes, login."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.retries import retry_jobs
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from scheduling.schedules.beat_submissions import read_request, submit_beat_task
from tenants.access.invitations import invite
from tenants.access.memberships import add_member, remove_member
from tenants.access.people import create_platform_admin, deactivate_user, grant_platform_role
from tenants.context import tenant_context
from tenants.database.platform_settings import platform_settings
from tenants.exceptions import DomainError
from tenants.models import ApiKey, Membership, Role
from tests.keys import issue_api_key
from tests.security.table import Attack
from tests.security.world import PASSWORD, World, refusal_of
from workloads.webhooks.service import create_webhook

API = "/api/v1/"
LOGIN = "/admin/login/"
FORGED = {
    "kind": "webhook_delivery",
    "payload": {
        "webhook": "019a0000-0000-7000-8000-000000000001",
        "event": "job.completed",
        "data": {"job": "FORGED", "amount": 1_000_000},
    },
}


def _submit_delivery(world: World) -> str:
    return refusal_of(world.with_key(world.aaa, ["jobs.submit"]).post(API + "jobs/", FORGED, format="json"))


def _submit_deliveries_in_bulk(world: World) -> str:
    answer = world.with_key(world.aaa, ["jobs.submit"]).post(API + "jobs/bulk/", {"jobs": [FORGED]}, format="json")
    return ", ".join(item["code"] for item in answer.json()["rejected"]) or "accepted"


def _submit_delivery_at_end_of_batch(world: World) -> str:
    body = {"label": "x", "jobs": [{"kind": "noop"}], "on_completion": {"job": FORGED}}
    return refusal_of(world.with_key(world.aaa, ["jobs.submit"]).post(API + "batches/", body, format="json"))


def _schedule_delivery(world: World) -> str:
    body = {"name": "x", "cron": "* * * * *", **FORGED}
    answer = world.with_key(world.aaa, ["schedules.manage"]).post(API + "schedules/", body, format="json")
    faults = answer.json().get("errors", [])
    return f"{answer.status_code} {', '.join(fault['code'] for fault in faults)}"


def _submit_delivery_by_command(world: World) -> str:
    try:
        call_command("submit_job", "webhook_delivery", "--tenant=aaa", f"--payload={json.dumps(FORGED['payload'])}")
    except CommandError as refusal:
        return str(refusal).partition(":")[0]
    return "submitted"


def _submit_delivery_by_beat(world: World) -> str:
    try:
        submit_beat_task(task_name="", tenant=world.aaa, request=read_request(**FORGED, options={}))
    except DomainError as refusal:
        return refusal.code
    return "submitted"


def _submit_internal_by_beat_option(world: World) -> str:
    try:
        read_request(**FORGED, options={"is_internal": True})
    except DomainError as refusal:
        return refusal.code
    return "submitted"


def _replay_delivery_with_payload(world: World) -> str:
    with tenant_context(world.aaa):
        request = JobRequest(**FORGED, is_internal=True)
        job = submit_job(tenant=world.aaa, request=request).job
        Job.objects.filter(pk=job.pk).update(state=JobState.CANCELLED, finished_at=timezone.now())
        bulk = retry_jobs(job_ids=[job.pk], payloads={job.pk: {**FORGED["payload"], "data": {"amount": 2}}})
    return bulk.refused[job.pk].code if job.pk in bulk.refused else "replayed"


def _replay_delivery_as_developer(world: World) -> str:
    with tenant_context(world.aaa):
        job = submit_job(tenant=world.aaa, request=JobRequest(**FORGED, is_internal=True)).job
        Job.objects.filter(pk=job.pk).update(state=JobState.CANCELLED, finished_at=timezone.now())
    developer = world.with_session(world.member(world.aaa, Role.DEVELOPER, "developer"), world.aaa)
    return refusal_of(developer.post(f"{API}jobs/{job.pk}/retry/", {}, format="json"))


def _note_use_of_stolen_key(world: World) -> str:
    issued = issue_api_key(tenant=world.aaa, name="bound", scopes=["jobs.view"], allowed_addresses=["198.51.100.0/24"])
    refusal = refusal_of(world.with_token(issued.token).get(f"{API}jobs/"))
    with tenant_context(world.aaa):
        last_used_at = ApiKey.objects.get(pk=issued.key.pk).last_used_at
    return f"{refusal}, last used {last_used_at}"


def _create_webhook_by_key(world: World) -> str:
    body = {"name": "x", "url": "https://attacker.example.com/"}
    return refusal_of(world.with_key(world.aaa).post(API + "webhooks/", body, format="json"))


def _redirect_webhook_by_key(world: World) -> str:
    webhook = create_webhook(tenant=world.aaa, name="ops", url="https://example.com/").webhook
    client = world.with_key(world.aaa, ["tenant.view", "jobs.submit"])
    return refusal_of(client.patch(f"{API}webhooks/{webhook.pk}/", {"url": "https://attacker.example.com/"}))


def _issue_key_that_manages_the_tenant(world: World) -> str:
    owner = world.with_session(world.member(world.aaa, Role.OWNER, "owner"), world.aaa)
    body = {"name": "x", "scopes": ["tenant.manage"]}
    return refusal_of(owner.post(API + "api-keys/", body, format="json"))


def _reveal_payload_by_key(world: World) -> str:
    job = submit_job(tenant=world.aaa, request=JobRequest("noop", {"iban": "secret"})).job
    answer = world.with_key(world.aaa).get(f"{API}jobs/{job.pk}/").json()
    return "masked" if answer["payload"] is None and answer["is_masked"] else str(answer["payload"])


def _approve_by_key(world: World) -> str:
    client = world.with_key(world.aaa)
    body = {"decision": "approved"}
    return refusal_of(client.post(f"{API}approvals/019a0000-0000-7000-8000-000000000001/decide/", body, format="json"))


def _use_expired_key(world: World) -> str:
    issued = issue_api_key(tenant=world.aaa, name="old", scopes=["jobs.view"])
    with tenant_context(world.aaa):
        ApiKey.objects.filter(pk=issued.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    return refusal_of(world.with_token(issued.token).get(f"{API}jobs/"))


def _use_key_from_elsewhere(world: World) -> str:
    issued = issue_api_key(
        tenant=world.aaa, name="bound", scopes=["jobs.view"], allowed_addresses=["198.51.100.0/24", "2001:db8::/32"]
    )
    # No proxy is trusted: the attacker has forged the header.
    client = world.with_token(issued.token)
    return refusal_of(client.get(f"{API}jobs/", HTTP_X_FORWARDED_FOR="198.51.100.7", REMOTE_ADDR="203.0.113.9"))


def _use_key_of_former_member(world: World) -> str:
    world.member(world.aaa, Role.OWNER, "staying")
    leaving = world.member(world.aaa, Role.OWNER, "leaving")
    body = {"name": "kept", "scopes": ["jobs.view"]}
    token = world.with_session(leaving, world.aaa).post(f"{API}api-keys/", body, format="json").json()["token"]
    with tenant_context(world.aaa):
        remove_member(membership=Membership.objects.get(user=leaving))
    return refusal_of(world.with_token(token).get(f"{API}jobs/"))


def _issue_key_without_scopes(world: World) -> str:
    owner = world.with_session(world.member(world.aaa, Role.OWNER, "owner"), world.aaa)
    return refusal_of(owner.post(f"{API}api-keys/", {"name": "x"}, format="json"))


def _plant_membership(world: World) -> str:
    victim = world.member(world.zeta, Role.OWNER, "victim")
    owner = world.with_session(world.member(world.aaa, Role.OWNER, "owner"), world.aaa)
    answer = owner.post(f"{API}members/", {"user": "victim", "role": "viewer"}, format="json").json()
    with tenant_context(world.aaa):
        is_member = Membership.objects.filter(user=victim).exists()
    is_revealed = {"email", "is_active"} & set(answer) or victim.email in str(answer)
    return "member" if is_member else "account revealed" if is_revealed else answer["state"]


def _query_which_names_exist(world: World) -> str:
    world.member(world.zeta, Role.OWNER, "victim")
    create_platform_admin(username="admin", password=PASSWORD)
    owner = world.with_session(world.member(world.aaa, Role.OWNER, "owner"), world.aaa)
    answers = set()
    for name in ("victim", "admin", "unknown", "owner"):
        answer = owner.post(f"{API}members/", {"user": name, "role": "viewer"}, format="json")
        body = answer.json()
        answers.add((answer.status_code, tuple(sorted(body)), body.get("state"), bool(body.get("link"))))
    return "one answer" if len(answers) == 1 else str(answers)


def _path_of_invitation(world: World, invitee: str) -> str:
    link = invite(tenant=world.aaa, invitee=invitee, role="owner", link_of=lambda token: token).link
    return f"/admin/invitation/?token={link}"


def _invite_platform_staff(world: World) -> str:
    admin = create_platform_admin(username="admin", password=PASSWORD)
    path = _path_of_invitation(world, "admin")
    status = world.with_session(admin).post(path).status_code
    with tenant_context(world.aaa):
        return "member" if Membership.objects.filter(user=admin).exists() else str(status)


def _accept_for_another(world: World) -> str:
    path = _path_of_invitation(world, "victim")
    return str(world.with_session(world.member(world.zeta, Role.OWNER, "other")).post(path).status_code)


def _accept_twice(world: World) -> str:
    path = _path_of_invitation(world, "anyone@example.com")
    world.with_session(world.member(world.zeta, Role.OWNER, "first")).post(path)
    return str(world.with_session(world.member(world.zeta, Role.OWNER, "second")).post(path).status_code)


def _return_by_own_invitation(world: World) -> str:
    world.member(world.aaa, Role.OWNER, "staying")
    leaving = world.member(world.aaa, Role.OWNER, "leaving")
    owner = world.with_session(leaving, world.aaa)
    link = owner.post(f"{API}members/", {"user": "me@example.com", "role": "owner"}, format="json").json()["link"]
    with tenant_context(world.aaa):
        remove_member(membership=Membership.objects.get(user=leaving))
    status = Client().post(_path_of_link(link), {"username": "me", "password": PASSWORD}).status_code
    return "member" if User.objects.filter(username__startswith="me-").exists() else str(status)


def _accept_for_another_by_new_account(world: World) -> str:
    world.member(world.zeta, Role.OWNER, "victim")
    path = _path_of_invitation(world, "victim")
    status = Client().post(path, {"username": "victim", "password": PASSWORD}).status_code
    return "member" if User.objects.filter(username__startswith="victim-").exists() else str(status)


def _take_address_of_another(world: World) -> str:
    path = _path_of_invitation(world, "ceo@victim.example")
    Client().post(path, {"username": "me", "password": PASSWORD})
    return f"the address {User.objects.get(username__startswith='me-').email!r}"


def _path_of_link(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def _search_beat_arguments(world: World) -> str:
    auditor = User.objects.create_user("auditor", password=PASSWORD)
    grant_platform_role(user=auditor, role="auditor")
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    kwargs = json.dumps({"tenant": "zeta", "kind": "noop", "payload": {"iban": "secret-iban"}})
    PeriodicTask.objects.create(name="zeta's", task="scheduling.submit", interval=every, kwargs=kwargs)
    client, page = world.with_session(auditor), "/admin/django_celery_beat/periodictask/"
    return ", ".join(
        str(client.get(page, {f"{name}__contains": "secret"}).status_code) for name in ("args", "kwargs", "headers")
    )


def _open_first_tenant_by_name(world: World) -> str:
    victim = world.member(world.zeta, Role.OWNER, "victim")
    add_member(tenant=world.aaa, user=victim)
    page = world.with_session(victim).get("/admin/tenants/tenant/")
    return ", ".join(tenant.slug for tenant in page.context["cl"].result_list)


def _enter_console_by_is_staff(world: World) -> str:
    user = User.objects.create_user("staff", password=PASSWORD, is_staff=True)
    answer = world.with_session(user).get("/admin/")
    return "log-in" if answer.status_code == 302 and "/admin/login/" in answer["Location"] else str(answer.status_code)


def _gain_is_staff(world: World) -> str:
    users = [world.member(world.aaa, Role.OWNER, "owner"), create_platform_admin(username="admin", password=PASSWORD)]
    grant_platform_role(user=users[0], role="operator")
    return f"{User.objects.filter(pk__in=[user.pk for user in users], is_staff=True).count()} of 2"


def _guess_by_botnet(world: World) -> str:
    victim = world.member(world.zeta, Role.OWNER, "victim")
    owner = Client()
    typed = {"username": victim.username, "password": PASSWORD}
    owner.post(LOGIN, typed)
    for number in range(platform_settings.LOGIN_ACCOUNT_FAILURE_LIMIT):
        Client().post(LOGIN, typed | {"password": "guess"}, REMOTE_ADDR=f"198.51.100.{number}")
    guess = Client().post(LOGIN, typed, REMOTE_ADDR="203.0.113.9")
    return f"{guess.status_code}, the owner {owner.post(LOGIN, typed).status_code}"


def _use_key_of_deactivated_account(world: World) -> str:
    leaving = world.member(world.aaa, Role.OWNER, "leaving")
    body = {"name": "kept", "scopes": ["jobs.view"]}
    token = world.with_session(leaving, world.aaa).post(f"{API}api-keys/", body, format="json").json()["token"]
    deactivate_user(user=leaving)
    return refusal_of(world.with_token(token).get(f"{API}jobs/"))


def _read_beat_arguments(world: World) -> str:
    auditor = User.objects.create_user("auditor", password=PASSWORD)
    grant_platform_role(user=auditor, role="auditor")
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    kwargs = json.dumps({"tenant": "zeta", "kind": "noop", "payload": {"iban": "secret-iban"}})
    row = PeriodicTask.objects.create(name="zeta's", task="scheduling.submit", interval=every, kwargs=kwargs)
    page = world.with_session(auditor).get(f"/admin/django_celery_beat/periodictask/{row.pk}/change/")
    return "arguments shown" if "secret-iban" in page.content.decode() else f"{page.status_code} masked"


ATTACKS: tuple[Attack, ...] = (
    Attack(
        "forged delivery as a job", "POST jobs/ of the kind webhook_delivery", "422 kind_internal", _submit_delivery
    ),
    Attack("forged delivery in bulk", "POST jobs/bulk/ of the kind", "kind_internal", _submit_deliveries_in_bulk),
    Attack(
        "forged delivery at the end of a batch",
        "on_completion.job",
        "422 kind_internal",
        _submit_delivery_at_end_of_batch,
    ),
    Attack("forged delivery by a schedule", "POST schedules/", "422 kind_internal", _schedule_delivery),
    Attack("forged delivery by command", "manage.py submit_job", "kind_internal", _submit_delivery_by_command),
    Attack("forged delivery by beat", "scheduling.submit with the kind", "kind_internal", _submit_delivery_by_beat),
    Attack(
        "forged delivery with an option of the platform",
        "scheduling.submit with is_internal=True",
        "option_invalid",
        _submit_internal_by_beat_option,
    ),
    Attack(
        "altered delivery by replay", "a replay with another payload", "kind_internal", _replay_delivery_with_payload
    ),
    Attack(
        "delivery sent again by a developer",
        "POST jobs/{id}/retry/ of an ended delivery",
        "422 kind_internal",
        _replay_delivery_as_developer,
    ),
    Attack("webhook of a leaked key", "POST webhooks/ with default scopes", "403 forbidden", _create_webhook_by_key),
    Attack("webhook redirected by a leaked key", "PATCH webhooks/{id}/", "403 forbidden", _redirect_webhook_by_key),
    Attack(
        "key that manages its tenant",
        "POST api-keys/ with the scope tenant.manage",
        "422 invalid",
        _issue_key_that_manages_the_tenant,
    ),
    Attack(
        "payload revealed to a key", "GET jobs/{id}/ with every scope of a developer", "masked", _reveal_payload_by_key
    ),
    Attack("approval by a program", "POST approvals/{id}/decide/ by a key", "403 forbidden", _approve_by_key),
    Attack("expired key", "GET jobs/ with a key after its end", "401 key_expired", _use_expired_key),
    Attack(
        "bound key from elsewhere",
        "its token with a forged X-Forwarded-For",
        "403 key_address",
        _use_key_from_elsewhere,
    ),
    Attack(
        "use of a bound key from elsewhere",
        "its token, and then a look at its last use",
        "403 key_address, last used None",
        _note_use_of_stolen_key,
    ),
    Attack(
        "key of a member who left",
        "GET jobs/ after remove_member",
        "401 not_authenticated",
        _use_key_of_former_member,
    ),
    Attack("key without chosen scopes", "POST api-keys/ without scopes", "422 invalid", _issue_key_without_scopes),
    Attack("planted membership", "POST members/ with another tenant's owner", "pending", _plant_membership),
    Attack("oracle of names", "POST members/ with four kinds of names", "one answer", _query_which_names_exist),
    Attack("invited platform staff", "an admin's click on Accept", "400", _invite_platform_staff),
    Attack("invitation of another person", "another account's click on Accept", "400", _accept_for_another),
    Attack("invitation used twice", "a second account's click on Accept", "400", _accept_twice),
    Attack("return of an expelled owner", "the link of an own invitation", "400", _return_by_own_invitation),
    Attack(
        "invitation of another person by a new account",
        "a new account on the page of a user name's invitation",
        "400",
        _accept_for_another_by_new_account,
    ),
    Attack(
        "e-mail address of another person",
        "an own invitation of the address, whose link was shown, accepted by a new account",
        "the address ''",
        _take_address_of_another,
    ),
    Attack(
        "masked arguments of beat by a filter",
        "an auditor's ?kwargs__contains=, ?args__… and ?headers__…",
        "400, 400, 400",
        _search_beat_arguments,
    ),
    Attack("log-in led into the attacker's tenant", "GET /admin/ after a log-in", "zeta", _open_first_tenant_by_name),
    Attack("console by is_staff", "GET /admin/ without a membership", "log-in", _enter_console_by_is_staff),
    Attack("is_staff by joining", "a membership and a platform role", "0 of 2", _gain_is_staff),
    Attack(
        "password guessed from many addresses",
        "the right password after LOGIN_ACCOUNT_FAILURE_LIMIT wrong ones, each from an address of its own",
        "429, the owner 302",
        _guess_by_botnet,
    ),
    Attack(
        "key of a deactivated account",
        "GET jobs/ after deactivate_user",
        "401 not_authenticated",
        _use_key_of_deactivated_account,
    ),
    Attack("payload in beat's arguments", "an auditor's GET of a task", "200 masked", _read_beat_arguments),
)
