"""Commands of job templates: run, export and import."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from scheduling.jobs.job_templates.service import TEMPLATES, TemplateContent, add_version, create_template
from scheduling.models import Job, JobTemplate
from tenants.context import acting_as, current_actor, tenant_context
from tenants.models import Tenant
from tenants.secrets.errors import SecretUseDeniedError

pytestmark = pytest.mark.django_db

CONTENT = TemplateContent(
    kind="noop",
    payload={"date": "{{ parameters.date }}"},
    parameters={"properties": {"date": {"type": "string", "default": "today"}}},
)


PARAMETERS = "parameters: {properties: {needed: {}}}"


def run(*arguments: str) -> str:
    written = io.StringIO()
    call_command(*arguments, stdout=written)
    return written.getvalue()


def test_run_template_submits_a_job_with_its_parameters(acme: Tenant) -> None:
    create_template(tenant=acme, name="nightly", content=CONTENT)
    job_id = json.loads(run("run_template", "acme/nightly", "--set", "date=2026-11-01", "--json"))["id"]
    with tenant_context(acme):
        assert Job.objects.get(pk=job_id).payload == {"date": "2026-11-01"}


def test_run_template_names_what_is_missing(acme: Tenant) -> None:
    with pytest.raises(CommandError, match="TENANT/NAME"):
        run("run_template", "nightly")
    with pytest.raises(CommandError, match="no such job template"):
        run("run_template", "acme/nightly")


def test_exported_templates_are_imported_into_another_tenant(acme: Tenant, globex: Tenant, tmp_path: Path) -> None:
    create_template(tenant=acme, name="nightly", content=CONTENT, description="Täglich", runners=["viewer"])
    file = tmp_path / "templates.yaml"
    file.write_text(run("export_templates", "--tenant=acme"), "utf-8")
    assert run("import_templates", str(file), "--tenant=globex").strip() == "nightly: created"
    assert run("import_templates", str(file), "--tenant=globex").strip() == "nightly: unchanged"
    file.write_text(file.read_text("utf-8").replace("today", "tomorrow"), "utf-8")
    assert run("import_templates", str(file), "--tenant=globex").strip() == "nightly: version 2"
    with tenant_context(globex):
        template = JobTemplate.objects.get()
        assert (template.description, template.runners, template.version) == ("Täglich", ["viewer"], 2)
        assert TEMPLATES.describe(template)["parameters"]["properties"]["date"]["default"] == "tomorrow"


@pytest.mark.parametrize(
    "text",
    [
        "templates: [",
        "- 1",
        "templates:\n- name: a\n  content: {kind: no_such_kind}",
        "a: &a [1]\ntemplates: [*a]",
        f"templates: [{{name: a, content: {{kind: noop, payload: {{day: 2026-11-01}}, {PARAMETERS}}}}}]",
        f"templates: [{{name: a, content: {{kind: noop, payload: {{size: .inf}}, {PARAMETERS}}}}}]",
        f"templates: [{{name: a, content: {{kind: noop, payload: {'{a: ' * 40}1{'}' * 40}, {PARAMETERS}}}}}]",
    ],
)
def test_import_of_a_faulty_file_stores_nothing(acme: Tenant, tmp_path: Path, text: str) -> None:
    file = tmp_path / "templates.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(Exception, match=r"cannot be read|must have a list|kind|aliases|not JSON"):
        run("import_templates", str(file), "--tenant=acme")
    with tenant_context(acme):
        assert not JobTemplate.objects.exists()


@pytest.mark.parametrize(
    "rule",
    [{"default": "Bearer {{ secrets.api }}"}, {"default": ["{{ secrets.api }}"]}, {"enum": ["{{ secrets.api }}"]}],
)
def test_secret_in_a_parameter_needs_their_right(acme: Tenant, rule: dict[str, object]) -> None:
    headers = {"Authorization": "{{ parameters.token }}"}
    content = TemplateContent(
        kind="http_call",
        payload={"url": "https://api.example.com/", "headers": headers},
        parameters={"properties": {"token": rule, "day": {}}},
    )
    template = create_template(tenant=acme, name="nightly", content=CONTENT)
    with acting_as(replace(current_actor(), may_use_secrets=False)):
        with pytest.raises(SecretUseDeniedError):
            create_template(tenant=acme, name="calls", content=content)
        with pytest.raises(SecretUseDeniedError):
            add_version(template=template, content=content)
    create_template(tenant=acme, name="calls", content=content)
