"""What is refused when a definition or a setting is saved, and what only a run can find."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.context import Actor, acting_as, tenant_context
from tenants.exceptions import SettingsRefusedError
from tenants.models import Tenant, TenantSettings
from tenants.secrets.errors import SecretUseDeniedError
from tenants.settings.service import change_settings
from tests.integration.workloads.workflows.conftest import Runs
from tests.unit.workloads.workflows.definitions import each, node, workflow
from workloads.workflows.exceptions import WorkflowDefinitionError

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = {"question": {"type": "string"}}
URL, FALLBACKS = "workflow_execution.llm_url", "workflow_execution.llm_fallbacks"
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


def test_missing_variable_of_a_template_is_named_with_its_path(runs: Runs, acme: Tenant) -> None:
    definition = workflow(node("a", template="{{ inputs.o.b.c }}"), inputs={"o": {"type": "object"}})
    job = runs.run(acme, definition, {"o": {}})
    assert job.error_type == "variable_missing"
    assert job.error_message == "a: inputs.o.b.c does not exist: the path ends before 'b'."


@pytest.mark.parametrize("url", ["http://127.0.0.1:11434/v1", "http://10.0.3.7:8000/v1", "http://localhost/v1"])
def test_internal_endpoint_is_refused_when_saved(acme: Tenant, url: str) -> None:
    for values in ({URL: url}, {FALLBACKS: [{"name": "backup", "url": url}]}):
        with pytest.raises(SettingsRefusedError) as caught:
            change_settings(tenant=acme, values=values)
        (fault,) = caught.value.errors
        assert fault["field"] in values
        assert "OUTGOING_HTTP_ALLOWED_HOSTS" in fault["detail"]


def test_internal_endpoint_from_before_does_not_block_other_changes(acme: Tenant) -> None:
    before = "http://127.0.0.1:11434/v1"
    with tenant_context(acme):
        TenantSettings.objects.create(tenant=acme, stored={URL: before})
    model = "workflow_execution.llm_model"
    row = change_settings(tenant=acme, values={URL: before, model: "small"})
    assert row.stored == {URL: before, model: "small"}
    assert change_settings(tenant=acme, values={}, reset=[URL]).stored == {model: "small"}


@pytest.mark.parametrize(
    "declared",
    [
        [{"name": "own", "url": "https://api.example.com/v1"}],
        [{"name": "backup"}],
        [{"name": "platform", "url": "https://api.example.com/v1"}],
        [{"name": "backup", "url": "https://api.example.com/v1"}] * 2,
        [{"name": "backup", "url": "https://api.example.com/v1", "key": "sk-plain"}],
        [{"name": f"e{number}", "url": "https://api.example.com/v1"} for number in range(6)],
    ],
)
def test_fallback_that_cannot_be_used_is_refused(acme: Tenant, declared: Any) -> None:
    with pytest.raises(SettingsRefusedError):
        change_settings(tenant=acme, values={FALLBACKS: declared})


def test_platforms_endpoint_may_be_a_fallback(acme: Tenant) -> None:
    declared = [{"name": "platform"}]
    assert change_settings(tenant=acme, values={FALLBACKS: declared}).stored == {FALLBACKS: declared}


def test_key_of_a_fallback_needs_the_right_to_use_secrets(acme: Tenant) -> None:
    declared = [{"name": "backup", "url": "https://api.example.com/v1", "key": "{{ secrets.backup }}"}]
    actor = Actor(kind="user", id="1", may_use_secrets=False)
    with acting_as(actor), pytest.raises(SecretUseDeniedError):
        change_settings(tenant=acme, values={FALLBACKS: declared})
    assert change_settings(tenant=acme, values={FALLBACKS: declared}).stored == {FALLBACKS: declared}
