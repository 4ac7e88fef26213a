"""JSON fields of forms, formatted for people."""

from __future__ import annotations

import pytest
from django.forms.fields import InvalidJSONInput

from tenants.console.json_fields import IndentedJSONField


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"name": "队列"}, '{\n  "name": "队列"\n}'),
        ("a text", '"a text"'),
        (InvalidJSONInput("{"), "{"),
    ],
)
def test_value_is_indented_and_invalid_input_is_unchanged(value: object, shown: str) -> None:
    assert IndentedJSONField().prepare_value(value) == shown
