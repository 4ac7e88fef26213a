"""Mappings of requests: references, templates, constants, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from workloads.triggers.mapping import MappingError, check_key, check_mapping, key_of, map_request

REQUEST = {"body": {"id": 7, "lines": [{"sku": "a"}]}, "headers": {"x_event": "paid"}, "query": {"page": "2"}}


def test_mapping_makes_values_with_their_types() -> None:
    mapping = {
        "order": {"ref": "inputs.body.id"},
        "first": {"ref": "inputs.body.lines.0.sku"},
        "nested": [{"text": {"template": "{{ inputs.headers.x_event }} {{ inputs.query.page }}"}}],
        "constant": "{{ inputs.body.id }}",
    }
    assert check_mapping(mapping) == ""
    assert map_request(mapping, REQUEST) == {
        "order": 7,
        "first": "a",
        "nested": [{"text": "paid 2"}],
        "constant": "{{ inputs.body.id }}",
    }


def test_empty_mapping_is_the_body() -> None:
    assert map_request({}, REQUEST) == REQUEST["body"]
    with pytest.raises(MappingError):
        map_request({}, REQUEST | {"body": [1]})


@pytest.mark.parametrize("reference", ["inputs.body.absent", "inputs.body.id.more", "inputs.body.lines.9"])
def test_missing_value_fails(reference: str) -> None:
    with pytest.raises(MappingError):
        map_request({"a": {"ref": reference}}, REQUEST)
    with pytest.raises(MappingError):
        key_of(reference, REQUEST)


def test_missing_value_of_a_template_fails() -> None:
    with pytest.raises(MappingError):
        map_request({"a": {"template": "{{ inputs.body.absent }}"}}, REQUEST)


@pytest.mark.parametrize(
    "mapping",
    [
        [],
        {"a": {"ref": "nodes.x.text"}},
        {"a": {"ref": "inputs"}},
        {"a": {"ref": "inputs.cookies.x"}},
        {"a": {"ref": "inputs body"}},
        {"a": {"template": "{{ item }}"}},
        {"a": {"template": "{{ inputs.body.x() }}"}},
        {"a": {"template": "{% for"}},
        {"a": [{"ref": "inputs.body.x"}] * 51},
        {"a": "x" * 40_000},
        {"a": [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]},
    ],
    ids=lambda mapping: str(mapping)[:40],
)
def test_faulty_mapping_is_refused(mapping: Any) -> None:
    assert check_mapping(mapping) != ""


def test_key_is_of_the_signed_body_only() -> None:
    assert check_key("") == check_key("inputs.body.id") == ""
    assert check_key("inputs.headers.x_event") != ""
    assert check_key("inputs.query.page") != ""
    assert key_of("inputs.body.id", REQUEST) == "7"
