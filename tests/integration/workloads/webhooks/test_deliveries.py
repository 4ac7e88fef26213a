"""Webhook deliveries: signed, retried until accepted, and each attempt recorded."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from scheduling.jobs.batches.firing import fire_batches
from scheduling.jobs.batches.folding import fold_batches
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Batch, DeadLetter, Job
from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from tenants.tenancy.queries import find_tenant
from tests.integration.api.test_access import API, assert_problem
from tests.integration.workloads.webhooks.conftest import Run
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import Seen, WebServer
from workloads.webhooks.models import Delivery, Webhook

pytestmark = pytest.mark.usefixtures("transactional_db")
PAGE = Path(__file__).resolve().parents[4] / "docs" / "how-to" / "webhooks.md"


@pytest.fixture(params=["prefork", "io"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(api: APIClient, url: str, name: str = "ops") -> dict[str, Any]:
    answer = api.post(API + "webhooks/", {"name": name, "url": url})
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def delivering(api: APIClient, shown: dict[str, Any]) -> Job:
    """Return the job that delivers a test event."""
    answer = api.post(API + f"webhooks/{shown['webhook']['id']}/test/", {})
    assert answer.status_code == 202, answer.content
    with all_tenants():
        return Job.objects.get(pk=answer.json()["job"])


def signature_of(secret: str, seen: Seen) -> str:
    signed = b".".join([seen.headers["Webhook-Id"].encode(), seen.headers["Webhook-Timestamp"].encode(), seen.body])
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def test_end_of_a_batch_is_delivered(acme_api: APIClient, run: Run, server: WebServer) -> None:
    shown = make(acme_api, f"{server.url}/hook")
    body = {
        "label": "nightly",
        "jobs": [{"kind": "noop"}],
        "on_completion": {"webhook": shown["webhook"]["id"]},
    }
    batch = acme_api.post(API + "batches/", body).json()
    with all_tenants():
        job = Job.objects.get(batch_id=batch["id"])
    run(job)
    fold_batches()
    assert fire_batches() == 1
    with all_tenants():
        delivery = Job.objects.get(kind="webhook_delivery")
    assert run(delivery).state == "completed"
    (seen,) = server.seen
    sent = json.loads(seen.body)
    assert (seen.path, sent["type"], sent["id"]) == ("/hook", "batch.ended", seen.headers["Webhook-Id"])
    assert (sent["data"]["id"], sent["data"]["state"], sent["data"]["total"]) == (batch["id"], "completed", 1)
    assert seen.headers["Webhook-Signature"] == signature_of(shown["secret"], seen)
    detail = acme_api.get(API + f"batches/{batch['id']}/").json()
    assert detail["on_completion"]["job"] == str(delivery.pk)
    (row,) = acme_api.get(API + f"webhooks/{shown['webhook']['id']}/deliveries/").json()["results"]
    assert (row["event"], row["delivered"], row["answer_status"], row["answer"]) == ("batch.ended", True, 200, "hello")


def test_failed_delivery_is_retried_with_same_id_and_new_time(acme_api: APIClient, run: Run, server: WebServer) -> None:
    shown = make(acme_api, f"{server.url}/hook")
    server.answers["/hook"] = (500, {"Retry-After": "0"}, b"broken")
    job = run(delivering(acme_api, shown))
    assert (job.state, job.error_type) == ("retryable", "http_500")
    server.answers.clear()
    assert run(job).state == "completed"
    first, second = server.seen
    assert first.headers["Webhook-Id"] == second.headers["Webhook-Id"]
    assert first.body == second.body
    assert second.headers["Webhook-Signature"] == signature_of(shown["secret"], second)
    rows = acme_api.get(API + f"webhooks/{shown['webhook']['id']}/deliveries/").json()["results"]
    assert [(row["attempt"], row["delivered"], row["answer_status"], row["answer"]) for row in rows] == [
        (2, True, 200, "hello"),
        (1, False, 500, "broken"),
    ]


@pytest.mark.parametrize(("status", "state"), [(410, "discarded"), (404, "retryable"), (302, "retryable")])
def test_only_a_gone_receiver_ends_the_deliveries(
    acme_api: APIClient, run: Run, server: WebServer, status: int, state: str
) -> None:
    shown = make(acme_api, f"{server.url}/hook")
    server.answers["/hook"] = (status, {}, b"")
    assert run(delivering(acme_api, shown)).state == state


def test_unreachable_server_is_recorded(acme_api: APIClient, run: Run, server: WebServer) -> None:
    shown = make(acme_api, "http://no-such-host.invalid/hook")
    job = run(delivering(acme_api, shown))
    assert job.state == "retryable"
    (row,) = acme_api.get(API + f"webhooks/{shown['webhook']['id']}/deliveries/").json()["results"]
    assert (row["answer_status"], row["delivered"]) == (None, False)
    assert row["error"] == job.error_message


def test_internal_address_is_not_called(
    acme_api: APIClient, run: Run, server: WebServer, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[])
    shown = make(acme_api, f"{server.url}/hook")
    job = run(delivering(acme_api, shown))
    assert (job.state, job.error_type) == ("discarded", "address_refused")
    assert server.seen == []


def test_deleted_webhook_gets_no_deliveries(acme_api: APIClient, run: Run, server: WebServer) -> None:
    shown = make(acme_api, f"{server.url}/hook")
    job = delivering(acme_api, shown)
    assert acme_api.delete(API + f"webhooks/{shown['webhook']['id']}/").status_code == 204
    assert run(job).state == "discarded"
    with all_tenants():
        assert DeadLetter.objects.get(job_id=job.pk).error_type == "webhook_gone"
    assert server.seen == []


def test_both_secrets_sign_for_a_day_after_a_rotation(acme_api: APIClient, run: Run, server: WebServer) -> None:
    shown = make(acme_api, f"{server.url}/hook")
    rotated = acme_api.post(API + f"webhooks/{shown['webhook']['id']}/rotate/", {"reason": "it leaked"}).json()
    assert rotated["secret"] != shown["secret"]
    run(delivering(acme_api, shown))
    assert server.seen[0].headers["Webhook-Signature"].split(" ") == [
        signature_of(rotated["secret"], server.seen[0]),
        signature_of(shown["secret"], server.seen[0]),
    ]
    with all_tenants():
        webhook = Webhook.objects.get()
        Webhook.objects.filter(pk=webhook.pk).update(rotated_at="2020-01-01T00:00:00Z")
    run(delivering(acme_api, shown))
    assert server.seen[1].headers["Webhook-Signature"] == signature_of(rotated["secret"], server.seen[1])


def test_secret_is_shown_once_and_stored_nowhere_in_plain(acme_api: APIClient) -> None:
    shown = make(acme_api, "https://example.com/hook")
    secret = shown["secret"]
    for path in ("webhooks/", f"webhooks/{shown['webhook']['id']}/"):
        assert secret not in acme_api.get(API + path).content.decode()
    with all_tenants():
        assert secret not in str(AuditLogEntry.objects.filter(action="webhook.created").values())
        assert secret not in str(Webhook.objects.values())


def test_webhook_of_another_tenant_cannot_be_read_or_used(
    acme_api: APIClient, globex_api: APIClient, run: Run, server: WebServer
) -> None:
    shown = make(acme_api, f"{server.url}/hook")
    path = API + f"webhooks/{shown['webhook']['id']}/"
    for answer in (
        globex_api.get(path),
        globex_api.delete(path),
        globex_api.post(path + "rotate/", {"reason": "x"}),
        globex_api.post(path + "test/", {}),
        globex_api.get(path + "deliveries/"),
    ):
        assert_problem(answer, 404, "not_found")
    assert globex_api.get(API + "webhooks/").json()["results"] == []
    # Another tenant's webhook id in an own payload is not found.
    payload = {"webhook": shown["webhook"]["id"], "event": "x", "data": {}}
    assert_problem(
        globex_api.post(API + "jobs/", {"kind": "webhook_delivery", "payload": payload}), 422, "kind_internal"
    )
    job = submit_job(
        tenant=find_tenant("globex"), request=JobRequest("webhook_delivery", payload, is_internal=True)
    ).job
    assert (run(job).state, server.seen) == ("discarded", [])


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "https://user:pw@example.com/", "nonsense", "http://2130706433/"]
)
def test_invalid_url_is_refused(acme_api: APIClient, url: str) -> None:
    answer = acme_api.post(API + "webhooks/", {"name": "ops", "url": url})
    assert_problem(answer, 422, "webhook_url")
    assert answer.json()["errors"][0]["field"] == "url"


def test_webhook_names_are_unique_and_their_number_limited(
    acme_api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(acme_api, "https://example.com/")
    body = {"name": "ops", "url": "https://example.com/"}
    assert_problem(acme_api.post(API + "webhooks/", body), 409, "webhook_name_taken")
    monkeypatch.setattr("workloads.webhooks.service.MAX_WEBHOOKS", 1)
    assert_problem(acme_api.post(API + "webhooks/", body | {"name": "b"}), 422, "too_many_webhooks")


def test_example_of_the_documentation_verifies(acme_api: APIClient, run: Run, server: WebServer) -> None:
    """Run the block of docs/how-to/webhooks.md as written; it refuses altered and old messages."""
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(compile(block.group(1), str(PAGE), "exec"), names)
    verify = names["verify"]
    shown = make(acme_api, f"{server.url}/hook")
    run(delivering(acme_api, shown))
    seen = server.seen[0]
    assert verify(shown["secret"], seen.headers, seen.body)["type"] == "webhook.test"
    altered = {**seen.headers, "Webhook-Id": "another"}
    old = {**seen.headers, "Webhook-Timestamp": str(int(seen.headers["Webhook-Timestamp"]) - 301)}
    for headers, body in ((altered, seen.body), (old, seen.body), (seen.headers, seen.body + b" ")):
        with pytest.raises(ValueError, match=r"signature|old"):
            verify(shown["secret"], headers, body)


def test_old_attempts_are_removed(acme_api: APIClient, run: Run, server: WebServer) -> None:
    from datetime import timedelta

    from scheduling.upkeep.registry import UpkeepBudget
    from workloads.webhooks import upkeep

    shown = make(acme_api, f"{server.url}/hook")
    run(delivering(acme_api, shown))
    assert upkeep.prune_deliveries(UpkeepBudget(batch_rows=10, seconds=1)).counts == {"deliveries": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "KEPT", timedelta(hours=-1))
        assert upkeep.prune_deliveries(UpkeepBudget(batch_rows=10, seconds=1)).counts == {"deliveries": 1}
    with all_tenants():
        assert not Delivery.objects.exists()
        assert not Batch.objects.exists()
