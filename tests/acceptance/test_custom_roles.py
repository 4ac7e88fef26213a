"""A narrowed API key against a real web server and workers: it submits, follows and lists jobs of its kind only."""

from __future__ import annotations

import httpx

from scheduling.identity.configured import TENANT_ROLES
from tenants.context import tenant_context
from tenants.models import Tenant, TenantRole
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import submit, wait_for
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.keys import issue_api_key


def test_narrowed_key_reaches_jobs_of_its_kind_only(platform: Platform, acme: Tenant) -> None:
    with tenant_context(acme):
        rights = ["jobs.view", "jobs.submit"]
        TENANT_ROLES.save(TenantRole(), {"name": "clerk", "rights": rights, "kinds": ["sleep"]})
    token = issue_api_key(tenant=acme, name="clerk", scopes=rights, role="clerk").token
    (outside,) = submit(acme, "noop")
    port = free_port()
    platform.start_web(port)
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="the web server answers")
    base, headers = f"http://127.0.0.1:{port}/api/v1/", {"Authorization": f"Api-Key {token}"}
    with httpx.Client(base_url=base, headers=headers) as client:
        job = client.post("jobs/", json={"kind": "sleep", "payload": {"seconds": 0}}).json()["id"]
        ended = client.get(f"jobs/{job}/wait/", params={"timeout": 30}, timeout=40).json()
        assert ended["state"] == "completed"
        wait_for(outside, "completed")
        assert [row["id"] for row in client.get("jobs/").json()["results"]] == [job]
        assert client.get(f"jobs/{outside.pk}/").status_code == 404
        assert client.get(f"jobs/{outside.pk}/wait/").status_code == 404
        refused = client.get("batches/")
        assert (refused.status_code, refused.json()["code"]) == (403, "role_narrowed")
        refused = client.post("jobs/", json={"kind": "noop"})
        assert (refused.status_code, refused.json()["code"]) == (403, "role_narrowed")
