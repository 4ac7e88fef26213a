"""Bad input: answered by a clear 4xx as problem JSON, without any effect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.context import all_tenants
from tests.person import client_of
from tests.platform_settings import ChangePlatformSettings

JOBS = "/api/v1/jobs/"
BULK = f"{JOBS}bulk/"
JSON = "application/json"


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


# body → status and code; one fault per row.
RAW_BODIES: list[tuple[str | bytes, int, str]] = [
    ("", 422, "invalid"),
    ("{", 400, "json_invalid"),
    ("null", 422, "invalid"),
    ("[]", 422, "invalid"),
    ('"noop"', 422, "invalid"),
    ("NaN", 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"x": ' + deep(40) + "}}", 400, "json_invalid"),
    (deep(200_000), 400, "json_invalid"),
    ("[" * 200_000, 400, "json_invalid"),
    ('{"kind": "noop", "kind": "sleep"}', 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"a": 1, "a": 2}}', 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"x": 9223372036854775808}}', 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"x": ' + "9" * 5_000 + "}}", 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"x": 1e400}}', 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"x": NaN}}', 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"x": -Infinity}}', 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"x": "\\u0000"}}', 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"\\u0000": 1}}', 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"x": "\\ud800"}}', 400, "json_invalid"),
    ('{"kind": "noop", "payload": {"\\udfff": 1}}', 400, "json_invalid"),
    (b'{"kind": "noop", "payload": {"x": "\xff"}}', 400, "json_invalid"),
    (b'{"kind": "noop", "payload": {"x": "\xed\xa0\x80"}}', 400, "json_invalid"),
    ('\ufeff{"kind": "noop"}', 400, "json_invalid"),
    ('{"kind": "noop"} {"kind": "noop"}', 400, "json_invalid"),
    ("{'kind': 'noop'}", 400, "json_invalid"),
]
# One field of a submission, and the code of its error.
FIELDS: list[tuple[str, Any, str]] = [
    ("kind", None, "null"),
    ("kind", "", "blank"),
    ("kind", 7, "not_text"),
    ("kind", True, "not_text"),
    ("kind", ["noop"], "not_text"),
    ("kind", {"noop": 1}, "not_text"),
    ("kind", "n" * 65, "max_length"),
    ("kind", "no\u200bop", "invisible"),
    ("payload", None, "null"),
    ("payload", [], "not_a_dict"),
    ("payload", "{}", "not_a_dict"),
    ("priority", "1", "not_whole"),
    ("priority", "١", "not_whole"),
    ("priority", 1.0, "not_whole"),
    ("priority", True, "not_whole"),
    ("run_at", "2030-01-01", "format"),
    ("run_at", "2030-01-01T00:00:00", "format"),
    ("run_at", "2030-02-30T00:00:00Z", "format"),
    ("run_at", "2030-01-01T24:30:00Z", "format"),
    ("run_at", "٢٠٣٠-01-01T00:00:00Z", "format"),
    ("run_at", "0001-01-01T00:00:00+14:00", "range"),
    ("run_at", "9999-12-31T23:59:59-14:00", "range"),
    ("run_at", 1893456000, "format"),
    ("run_at", "tomorrow", "format"),
    ("deadline", "2030-01-01T00:00:00", "format"),
    ("fair_key", "a" * 101, "max_length"),
    ("fair_key", "a\u202eb", "invisible"),
    ("fair_key", 5, "not_text"),
    ("concurrency_key", "a" * 201, "max_length"),
    ("concurrency_key", "a\u202eb", "invisible"),
    ("concurrency_key", None, "null"),
    ("unique_key", "a" * 201, "max_length"),
    ("unique_key", 5, "not_text"),
    ("unique_until", "never", "invalid_choice"),
    ("unique_until", 1, "invalid_choice"),
    ("tags", "big", "not_a_list"),
    ("tags", {"a": 1}, "not_a_list"),
    ("tags", ["a" * 65], "max_length"),
    ("tags", [""], "blank"),
    ("tags", [None], "null"),
    ("tags", [1], "not_text"),
    ("tags", ["a\u2066b"], "invisible"),
    ("tags", ["a\u200db"], "invisible"),
    ("tags", ["\u3164"], "invisible"),
    ("tags", ["a\nb"], "invisible"),
    ("tags", [str(number) for number in range(21)], "max_length"),
    ("queue", 1, "not_text"),
    ("max_retries", -1, "min_value"),
    ("max_retries", "3", "not_whole"),
    ("max_retry", 3, "unknown_field"),
    ("Payload", {}, "unknown_field"),
    ("tenant", "globex", "unknown_field"),
]
QUERIES = [
    "state=nothing",
    "state=",
    "state=available&state=bogus",
    "kind=" + "k" * 65,
    "tag=a%E2%80%AEb",
    "created_after=yesterday",
    "created_after=2026-01-01T00:00:00",
    "created_after=",
    "created_before=0001-01-01T00:00:00Z",
    "error=",
    "batch=1",
    "batch=%D9%A1",
    "fair_key=a&fair_key=b",
    "limit=0",
    "limit=201",
    "limit=-1",
    "limit=%D9%A5",
    "limit=1e2",
    "limit=",
    "limit=9999999999999999999999",
    "ordering=tenant__name",
    "tenant_id=1",
    "stat=available",
    "&".join(["kind=a"] * 51),
]
CURSORS = ["x", "!!!", "cD1hYmM=", "cD0lMDA=", "bz05OTk5OTk5OTk5OTk5OTk5", "cD0wMTkwMDAwMA==", "%00", "cj0xJnA9eA=="]


def assert_refused(answer: Any, status: int, code: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.content[:500]
    assert answer["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert set(problem) == {"type", "title", "status", "code", "detail", "errors"}
    assert code is None or problem["code"] == code, problem
    with all_tenants():
        assert not Job.objects.exists()
    return problem


@pytest.mark.parametrize(("body", "status", "code"), RAW_BODIES, ids=[str(row[0])[:40] for row in RAW_BODIES])
def test_malformed_submission_body_is_refused(acme_api: APIClient, body: str | bytes, status: int, code: str) -> None:
    assert_refused(acme_api.post(JOBS, body, content_type=JSON), status, code)


@pytest.mark.parametrize(("field", "value", "code"), FIELDS, ids=[f"{row[0]}={row[1]!a}"[:40] for row in FIELDS])
def test_field_with_a_disallowed_value_is_named(acme_api: APIClient, field: str, value: Any, code: str) -> None:
    problem = assert_refused(acme_api.post(JOBS, {"kind": "noop", field: value}), 422, "invalid")
    assert {(fault["field"].split(".")[0], fault["code"]) for fault in problem["errors"]} == {(field, code)}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "nope"}, "kind_unknown"),
        ({"kind": "NOOP"}, "kind_unknown"),
        ({"kind": "sleep", "payload": {}}, "payload_invalid"),
        ({"kind": "sleep", "payload": {"seconds": "1"}}, "payload_invalid"),
        ({"kind": "sleep", "payload": {"seconds": -1}}, "payload_invalid"),
        ({"kind": "sleep", "payload": {"seconds": 1e300}}, "payload_invalid"),
        ({"kind": "noop", "deadline": "2001-01-01T00:00:00Z"}, "option_invalid"),
        (
            {"kind": "noop", "run_at": "2100-01-01T00:00:00Z", "deadline": "2099-01-01T00:00:00Z"},
            "option_invalid",
        ),
    ],
)
def test_submission_invalid_for_its_kind_is_refused_with_its_code(
    acme_api: APIClient, body: dict[str, Any], code: str
) -> None:
    assert_refused(acme_api.post(JOBS, body), 422, code)


def test_diagnostic_kinds_are_unknown_unless_the_setting_is_on(
    acme_api: APIClient, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(DIAGNOSTIC_KINDS=False)
    assert_refused(acme_api.post(JOBS, {"kind": "crash"}), 422, "kind_unknown")


@pytest.mark.parametrize("text", ["x" * (256 * 1024), "字" * (90 * 1024)])
def test_payload_over_256_kib_is_too_large(acme_api: APIClient, text: str) -> None:
    assert_refused(acme_api.post(JOBS, {"kind": "noop", "payload": {"x": text}}), 413, "payload_too_large")


def test_payload_of_256_kib_is_accepted(acme_api: APIClient) -> None:
    frame = len(json.dumps({"x": ""}))
    body = {"kind": "noop", "payload": {"x": "x" * (256 * 1024 - frame)}}
    assert acme_api.post(JOBS, body).status_code == 201


@pytest.mark.parametrize(
    ("path", "mebibytes"), [(JOBS, 3), (BULK, 9), (f"{JOBS}00000000-0000-7000-8000-000000000000/cancel/", 3)]
)
def test_body_over_the_limit_is_too_large(acme_api: APIClient, path: str, mebibytes: int) -> None:
    body = '{"kind": "noop", "payload": {"x": "' + "x" * mebibytes * 1024 * 1024 + '"}}'
    assert_refused(acme_api.post(path, body, content_type=JSON), 413, "body_too_large")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "nonsense",
    ],
)
def test_body_of_another_content_type_is_unsupported(acme_api: APIClient, content_type: str) -> None:
    assert_refused(acme_api.post(JOBS, "kind=noop", content_type=content_type), 415, "unsupported_media_type")


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "utf-7", "bogus"])
def test_body_in_another_charset_is_refused(acme_api: APIClient, charset: str) -> None:
    answer = acme_api.post(JOBS, b'{"kind": "noop"}', content_type=f"{JSON}; charset={charset}")
    assert_refused(answer, 400, "json_invalid")


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
@pytest.mark.parametrize("path", [JOBS, BULK, f"{JOBS}00000000-0000-7000-8000-000000000000/"])
def test_method_that_is_not_offered_is_not_allowed(acme_api: APIClient, method: str, path: str) -> None:
    answer = getattr(acme_api, method)(path, {})
    assert_refused(answer, 405, "method_not_allowed")
    assert answer["Allow"]


@pytest.mark.parametrize("path", ["cancel/", "retry/"])
def test_state_change_by_get_is_not_allowed(acme_api: APIClient, path: str) -> None:
    assert_refused(acme_api.get(f"{JOBS}00000000-0000-7000-8000-000000000000/{path}"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    ["/api/", "/api/v1/nothing/", "/api/v2/jobs/", "/api/v1/jobs", "/api/v1/jobs/x/y/z/", "/api/v1/jobs//"],
)
def test_unknown_address_is_answered_as_a_problem(acme_api: APIClient, path: str) -> None:
    for answer in (acme_api.get(path), acme_api.post(path, {"kind": "noop"})):
        assert_refused(answer, 404, "not_found")


@pytest.mark.parametrize("host", ["evil.example", "a b"])
def test_unserved_host_is_answered_as_a_problem(acme_api: APIClient, settings: Any, host: str) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]
    assert_refused(acme_api.get(JOBS, headers={"Host": host}), 400, "malformed")


@pytest.mark.parametrize("query", QUERIES)
def test_invalid_filter_is_refused(acme_api: APIClient, query: str) -> None:
    problem = assert_refused(acme_api.get(f"{JOBS}?{query}"), 422)
    assert problem["errors"]


@pytest.mark.parametrize("path", [JOBS, "/api/v1/batches/", "/api/v1/dead-letters/"])
@pytest.mark.parametrize("cursor", CURSORS)
def test_forged_cursor_is_refused(acme_api: APIClient, path: str, cursor: str) -> None:
    answer = acme_api.get(f"{path}?cursor={cursor}")
    assert 400 <= answer.status_code < 500, answer.content
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["", " ", "k" * 201, "k\u00e9y", "a\tb"])
def test_invalid_idempotency_key_is_refused(acme_api: APIClient, key: str) -> None:
    answer = acme_api.post(JOBS, {"kind": "noop"}, headers={"Idempotency-Key": key})
    assert_refused(answer, 422, "field_invalid")


@pytest.mark.parametrize("body", [{"reason": 1}, {"reason": "a\u202eb"}, {"reason": "r" * 201}, {"why": "x"}, []])
def test_cancellation_with_an_invalid_body_is_refused(acme_api: APIClient, available_job: Job, body: Any) -> None:
    answer = acme_api.post(f"{JOBS}{available_job.id}/cancel/", body)
    assert answer.status_code == 422, answer.content
    with all_tenants():
        assert Job.objects.get(pk=available_job.id).state == "available"


@pytest.mark.parametrize("path", ["retry/", "cancel/"])
def test_action_accepts_an_empty_body(acme_api: APIClient, retryable_job: Job, path: str) -> None:
    assert acme_api.post(f"{JOBS}{retryable_job.id}/{path}", "", content_type=JSON).status_code == 200


def test_retry_with_options_is_refused(acme_api: APIClient, retryable_job: Job) -> None:
    answer = acme_api.post(f"{JOBS}{retryable_job.id}/retry/", {"payload": {}})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "unknown_field")


def test_unusual_unicode_and_numbers_are_stored_unchanged(acme_api: APIClient, acme_user: User) -> None:
    payload = {"x": "\\u0000 \u202e \u200b 𝔘𝔫𝔦 👩\u200d👧", "y": [2**63 - 1, -(2**63), 0.1, 1.5e10, None, {}], "": 0}
    job = acme_api.post(JOBS, {"kind": "noop", "payload": payload, "tags": ["日本語", "naïve", "🏷️"]}).json()
    again = client_of(acme_user).get(f"{JOBS}{job['id']}/").json()
    assert (again["payload"], again["tags"]) == (payload, ["日本語", "naïve", "🏷️"])
