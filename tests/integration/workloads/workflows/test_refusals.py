"""What is refused when a definition or a setting is saved, and what only a run can find."""

from __future__ import annotations

import pytest

from tenants.models import Tenant
from tests.integration.workloads.workflows.conftest import Runs
from tests.unit.workloads.workflows.definitions import each, node, workflow
from workloads.workflows.exceptions import WorkflowDefinitionError

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = {"question": {"type": "string"}}
INTERNAL = ["http://127.0.0.1/", "http://169.254.169.254/latest", "http://10.0.0.1:8080/", "http://localhost:11434/"]


@pytest.mark.parametrize("url", INTERNAL)
def test_request_to_an_internal_address_is_refused(runs: Runs, acme: Tenant, url: str) -> None:
    call = node("call", "http_request", url="{{ inputs.question }}")
    job = runs.run(acme, workflow(call, inputs=QUESTION), {"question": url})
    assert (job.state, job.error_type) == ("discarded", "address_refused")


@pytest.mark.parametrize("url", [*INTERNAL, "http://10.0.0.1:8080/{{ inputs.question }}"])
def test_internal_address_is_refused_when_saved(runs: Runs, acme: Tenant, url: str) -> None:
    with pytest.raises(WorkflowDefinitionError) as caught:
        runs.start(acme, workflow(node("call", "http_request", url=url), inputs=QUESTION))
    (fault,) = caught.value.errors
    assert (fault["code"], fault["pointer"]) == ("address_refused", "/nodes/1/config/url")
    assert "OUTGOING_HTTP_ALLOWED_HOSTS" in fault["detail"] or "link-local" in fault["detail"]


def test_parallel_beyond_the_tenants_limit_is_refused_when_saved(runs: Runs, acme: Tenant) -> None:
    with pytest.raises(WorkflowDefinitionError) as caught:
        runs.start(acme, workflow(each("each", [1], node("x"), parallel=11)))
    (fault,) = caught.value.errors
    assert (fault["code"], fault["pointer"]) == ("too_parallel", "/nodes/1/config/parallel")
    assert "parallel_nodes" in fault["detail"]


def test_iteration_over_more_items_than_allowed_fails_before_the_first(runs: Runs, acme: Tenant) -> None:
    definition = workflow(each("each", "inputs.items", node("x")), inputs={"items": {"type": "array"}})
    job = runs.run(acme, definition, {"items": [0] * 501})
    assert (job.state, job.error_type) == ("discarded", "too_many_items")
    assert "501 items; at most 500" in job.error_message


def test_missing_variable_of_a_template_is_named_with_its_path(runs: Runs, acme: Tenant) -> None:
    definition = workflow(node("a", template="{{ inputs.o.b.c }}"), inputs={"o": {"type": "object"}})
    job = runs.run(acme, definition, {"o": {}})
    assert job.error_type == "variable_missing"
    assert job.error_message == "a: inputs.o.b.c does not exist: the path ends before 'b'."
