"""JSON fields of forms that people read."""

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
def test_value_is_indented_and_invalid_input_is_shown_as_it_was_typed(value: object, shown: str) -> None:
    assert IndentedJSONField().prepare_value(value) == shown
