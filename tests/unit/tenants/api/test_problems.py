"""Errors as problem details."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.db import DataError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework import exceptions as rest
from rest_framework import serializers

from tenants import exceptions
from tenants.api.problems import MEDIA_TYPE, STATUS_BY_CATEGORY, problem_details, problem_response, replace_page
from tenants.exceptions import DomainError, FieldInvalidError, TenantRequiredError


class LimitedError(DomainError):
    code = "rate_limited"
    category = "limited"
    title = "Too many."


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (FieldInvalidError("x"), 422, "field_invalid"),
        (TenantRequiredError(), 400, "tenant_required"),
        (LimitedError(), 429, "rate_limited"),
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "forbidden"),
        (RequestDataTooBig("big"), 413, "body_too_large"),
        (TooManyFilesSent("many"), 413, "body_too_large"),
        (SuspiciousOperation(), 400, "malformed"),
        (OperationalError("gone"), 503, "unavailable"),
        (DataError("out of range"), 422, "field_invalid"),
        (rest.ParseError(), 400, "malformed"),
        (rest.NotAuthenticated(), 401, "not_authenticated"),
        (rest.AuthenticationFailed(), 401, "not_authenticated"),
        (rest.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (rest.NotAcceptable(), 406, "not_acceptable"),
        (rest.UnsupportedMediaType("text/x"), 415, "unsupported_media_type"),
        (rest.Throttled(wait=7.2), 429, "rate_limited"),
    ],
)
def test_expected_error_becomes_a_problem(error, status, code):
    response = problem_details(error, {})
    assert response.status_code == response.data["status"] == status
    assert response.data["code"] == code
    assert response.data["type"] == f"urn:problem:{code}"
    assert response.data["title"]
    assert response.data["detail"]
    assert response.content_type == MEDIA_TYPE
    assert ("Retry-After" in response.headers) == (status in (429, 503))


def test_unexpected_error_is_not_converted():
    assert problem_details(ZeroDivisionError(), {}) is None


def test_retry_after_header_is_set():
    assert problem_details(LimitedError(retry_after_seconds=9), {}).headers["Retry-After"] == "9"
    assert problem_details(rest.Throttled(wait=7.2), {}).headers["Retry-After"] == "8"


class Line(serializers.Serializer):
    count = serializers.IntegerField()


class Order(serializers.Serializer):
    name = serializers.CharField()
    lines = Line(many=True)

    def validate(self, attrs):
        if attrs["name"] == "odd":
            raise serializers.ValidationError("Odd.", code="odd")
        return attrs


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"lines": []}, [("name", "required")]),
        ({"name": "a", "lines": [{"count": 1}, {"count": "x"}]}, [("lines.1.count", "invalid")]),
        ({"name": "odd", "lines": []}, [("body", "odd")]),
        ([1], [("body", "invalid")]),
    ],
)
def test_faults_of_a_body_have_the_path_of_their_field(body, errors):
    serializer = Order(data=body)
    with pytest.raises(rest.ValidationError) as invalid:
        serializer.is_valid(raise_exception=True)
    response = problem_details(invalid.value, {})
    assert (response.status_code, response.data["code"]) == (422, "invalid")
    assert [(fault["field"], fault["code"]) for fault in response.data["errors"]] == errors


def test_fault_in_a_list_has_its_index():
    serializer = Order(data=[{"name": "a", "lines": []}, {"lines": []}], many=True)
    with pytest.raises(rest.ValidationError) as invalid:
        serializer.is_valid(raise_exception=True)
    assert [fault["field"] for fault in problem_details(invalid.value, {}).data["errors"]] == ["1.name"]


def test_problem_outside_rest_framework_is_the_same():
    response = problem_response(TenantRequiredError())
    assert (response.status_code, response.headers["Content-Type"]) == (400, MEDIA_TYPE)
    assert json.loads(response.content) == problem_details(TenantRequiredError(), {}).data


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_error_page_of_django_is_replaced(status):
    response = replace_page(HttpResponse("<h1>Oh</h1>", status=status))
    assert response.headers["Content-Type"] == MEDIA_TYPE
    assert json.loads(response.content)["status"] == status


def test_response_other_than_an_error_page_is_kept():
    for response in (HttpResponse("<p>fine"), HttpResponse("{}", status=404, content_type="application/json")):
        assert replace_page(response) is response


def test_every_domain_error_has_a_unique_code_a_title_and_a_status():
    errors = [
        value
        for value in vars(exceptions).values()
        if isinstance(value, type) and issubclass(value, DomainError) and value is not DomainError
    ]
    assert len({error.code for error in errors}) == len(errors)
    assert all(error.title.endswith(".") and error.category in STATUS_BY_CATEGORY for error in errors)
