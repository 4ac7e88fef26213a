"""Hostile requests to every address of the API: a clear 4xx without any effect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction

from tenants.requests.bodies import MAX_TEXT_BYTES
from tests.access import routes, table
from tests.access.routes import API_PREFIX, Line
from tests.integration.access.conftest import world  # noqa: F401 - a fixture
from tests.integration.access.test_table import NamedRows
from tests.integration.access.world import World

pytestmark = pytest.mark.django_db
HOLDERS = routes.holders()
JSON = "application/json"
LINES = [line for line in routes.lines(table.API) if line.right != "anyone"]
WRITES = [line for line in LINES if line.method in ("POST", "PATCH") and line.status != 415]
READS = [line for line in LINES if line.method == "GET"]

# Other faults of bodies are tested on one address, in test_bad_input.py and tests/unit/tenants.
BODIES: dict[str, bytes] = {
    "nested deeper than 32": b'{"reason": ' + b"[" * 40 + b"]" * 40 + b"}",
    "nested without end": b"[" * 200_000,
    "a NUL": b'{"reason": "a\\u0000b"}',
    "half a surrogate pair": b'{"reason": "a\\ud800b"}',
    "a key that stands twice": b'{"reason": "a", "reason": "b"}',
    "an integer beyond 64 bits": b'{"value": 9223372036854775808}',
    "no number": b'{"value": NaN}',
    "Latin-1": b'{"reason": "caf\xe9"}',
    "half an object": b'{"reason": "a"',
}
SHAPES: dict[str, bytes] = {"a list": b"[]", "a text": b'"x"', "null": b"null"}
CHARSETS = {name: f"{JSON}; charset={name}" for name in ("utf-16", "bogus")}
HIDDEN = {
    "a bidi mark": "a\u202eb",
    "a zero-width space": "a\u200bb",
    "nothing to see": "\u200b",
    "a filler": "a\u3164b",
}
# In place of an id or a name in a path.
IDS: dict[str, str] = {
    "an Arabic digit": quote("١"),
    "an id in digits of full width": quote("０１９０００００-0000-7000-8000-000000000000"),
    "an id with a line break": "01900000-0000-7000-8000-000000000000%0A",
    "a NUL": "a%00",
    "half a surrogate pair": "%ED%A0%80",
    "a long one": "9" * 500,
    "a way up": "..%2F..%2Fetc%2Fpasswd",
    "a bidi mark": quote("a\u202eb"),
}
# The query of a list.
QUERIES: dict[str, str] = {
    "an ordering through a relation": "ordering=-tenant__api_keys__secret_hash",
    "another tenant by its slug": "tenant__slug=globex",
    "a look-up by a pattern": "name__regex=(a%2B)%2B%24",
    "a payload's beginning": "payload__secret__startswith=a",
    "a limit in Arabic digits": f"limit={quote('٣')}",
    "a limit beyond 64 bits": "limit=99999999999999999999",
}
ODD_QUERIES = ("cursor=%00", "cursor=%ED%A0%80", "q=%00", "q=" + "a" * 5_000, "%", "&".join(["x=1"] * 2_000))


def role_of(line: Line) -> str:
    """Return a role that has the right of the line."""
    return "owner" if "owner" in HOLDERS[line.right] else "admin"


def send(world: World, line: Line, body: bytes | None = None, query: str = "", **options: Any) -> Any:  # noqa: F811
    """Send one request and roll its changes back."""
    path = options.pop("path", None) or API_PREFIX + line.path.format_map(NamedRows(world.own))
    client = world.api[role_of(line)]
    with transaction.atomic():
        if body is None:
            answer = getattr(client, line.method.lower())(f"{path}{query}", **options)
        else:
            answer = client.generic(line.method, path, body, **{"content_type": JSON, **options})
        transaction.set_rollback(True)
    return answer


def faults_of(answers: Iterator[tuple[str, Any]], *wanted: int) -> dict[str, str]:
    """Return the answers that are not problems with one of these statuses."""
    return {
        name: f"{answer.status_code}: {getattr(answer, 'content', b'')[:200]!r}"
        for name, answer in answers
        if answer.status_code not in wanted or answer["Content-Type"] != "application/problem+json"
    }


def by_line(answers: Iterator[tuple[str, Line, Any]]) -> Iterator[tuple[str, Any]]:
    return ((f"{fault}: {line.method} {line.path}", answer) for fault, line, answer in answers)


def test_body_that_is_not_plain_json_is_refused_at_every_address(world: World) -> None:  # noqa: F811
    answers = ((fault, line, send(world, line, body)) for fault, body in BODIES.items() for line in WRITES)
    assert faults_of(by_line(answers), 400) == {}


def test_body_that_is_not_an_object_is_refused_at_every_address(world: World) -> None:  # noqa: F811
    answers = ((shape, line, send(world, line, body)) for shape, body in SHAPES.items() for line in WRITES)
    assert faults_of(by_line(answers), 422) == {}


def test_body_in_another_charset_is_refused_at_every_address(world: World) -> None:  # noqa: F811
    answers = (
        (name, line, send(world, line, b'{"reason": "a"}', content_type=content_type))
        for name, content_type in CHARSETS.items()
        for line in WRITES
    )
    assert faults_of(by_line(answers), 400) == {}


def test_body_over_the_limit_is_refused_at_every_address(world: World) -> None:  # noqa: F811
    body = b'{"reason": "' + b"x" * MAX_TEXT_BYTES + b'"}'
    answers = (("too large", line, send(world, line, body)) for line in WRITES)
    assert faults_of(by_line(answers), 413) == {}


def test_name_with_hidden_characters_is_refused_at_every_address(world: World) -> None:  # noqa: F811
    named = [line for line in WRITES if line.body and "name" in line.body]
    assert len(named) >= 5
    answers = (
        (fault, line, send(world, line, json.dumps({**line.body, "name": text}).encode()))
        for fault, text in HIDDEN.items()
        for line in named
    )
    assert faults_of(by_line(answers), 422) == {}


def test_malformed_id_is_not_found_at_any_address(world: World) -> None:  # noqa: F811
    def answers() -> Iterator[tuple[str, Line, Any]]:
        for fault, text in IDS.items():
            for line in (line for line in LINES if line.names):
                path = API_PREFIX + line.path.format_map(dict.fromkeys(line.names, text))
                body = b"{}" if line.method in ("POST", "PATCH") else None
                yield fault, line, send(world, line, body, path=path)

    # A NUL is refused before the row is looked up.
    assert faults_of(by_line(answers()), 400, 404) == {}


def test_invalid_query_is_refused_by_every_list(world: World) -> None:  # noqa: F811
    # An evaluation has results, and is one row.
    reads = [line for line in READS if line.path != "evaluations/{evaluation}/"]
    lists = [line for line in reads if "results" in _content(send(world, line))]
    assert len(lists) >= 20
    answers = (
        (fault, line, send(world, line, query=f"?{query}")) for fault, query in QUERIES.items() for line in lists
    )
    assert faults_of(by_line(answers), 400, 422) == {}


def test_odd_query_is_never_a_server_error(world: World) -> None:  # noqa: F811
    answers = {
        f"{query[:20]}: {line.path}": send(world, line, query=f"?{query}")
        for query in ODD_QUERIES
        for line in READS
        # Kept open by their own server, and refused here.
        if not line.path.endswith("stream/")
    }
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code >= 500} == {}


def _content(answer: Any) -> Any:
    return answer.json() if answer.headers.get("Content-Type") == "application/json" and not answer.streaming else {}
