"""The page of a running workflow run."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.helpers import submit, wait_for
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console
from tests.integration.workloads.workflow_records.conftest import ended, later, new_node, new_run
from workloads.workflows.records.records import RecordState
from workloads.workflows.records.repository import save_records

pytestmark = [pytest.mark.browser]

STORED_MS = 60_000


def test_graph_and_timeline_of_a_run_are_updated_without_reload(console: Console, globex: Tenant) -> None:
    (job,) = submit(globex, "noop")
    wait_for(job, "completed")
    run = new_run(globex, job_id=job.pk)
    start = new_node(run)
    with tenant_context(globex):
        save_records(run, [start])
    console.log_in()
    page = console.page
    console.open(f"/admin/workflow_storage/workflowrun/{run.run_id}/change/")
    node = page.locator('[data-node="start"]')
    expect(node).to_have_attribute("data-state", "running")
    expect(page.locator('[data-node="each"]')).to_contain_text("not started")
    assert find_violations(page) == []

    with tenant_context(globex):
        save_records(
            later(run, state=RecordState.FAILED, error_code="llm_refused", error_message="The model said no."),
            [ended(start), new_node(run, "ask", path=(1,), state=RecordState.FAILED)],
        )

    expect(node).to_have_attribute("data-state", "succeeded", timeout=STORED_MS)
    expect(page.locator('[data-node="ask"]')).to_have_attribute("data-state", "failed")
    expect(page.locator("section[aria-labelledby=run-facts]")).to_contain_text("The model said no.")
    expect(page.locator("section[aria-labelledby=run-nodes]")).to_contain_text("ask.1")
    assert find_violations(page) == []

    console.act("Reveal values", "a customer asks")
    expect(page.locator("section[aria-labelledby=revealed-inputs]")).to_contain_text("why?")
    assert find_violations(page) == []
