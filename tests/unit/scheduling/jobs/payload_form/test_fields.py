"""The form field of a payload: what it shows and reads for each part of a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django import forms
from django.http import QueryDict

from scheduling.jobs.payload_form.fields import Entered, PayloadField, PayloadWidget
from scheduling.jobs.payload_form.shapes import MAX_CONTROLS, MAX_DEPTH, Widget, shape_of
from scheduling.jobs.payload_form.values import (
    MAX_ROWS,
    MISSING,
    UnshowableError,
    defaults_of,
    read_inputs,
    with_row_changed,
    write_inputs,
)
from workloads.http_call.processor import HttpCall

ADDRESS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
    "required": ["city"],
}
EVERYTHING: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "text": {"type": "string"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "ratio": {"type": "number"},
        "is_fast": {"type": "boolean"},
        "how": {"enum": ["a", 1, None]},
        "day": {"type": "string", "format": "date"},
        "moment": {"type": "string", "format": "date-time"},
        "document": {"type": "string", "format": "stored-file"},
        "address": ADDRESS,
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}},
        "people": {"type": "array", "items": ADDRESS},
        "headers": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 20}},
        "limit": {"type": ["integer", "null"]},
        "note": {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]},
        "odd": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "any": True,
        "home": {"$ref": "#/$defs/address"},
    },
    "$defs": {"address": ADDRESS},
    "additionalProperties": False,
}
PAYLOAD = {
    "name": 'x "y" <z>',
    "text": "one\ntwo",
    "count": 3,
    "ratio": 0.5,
    "is_fast": False,
    "how": 1,
    "day": "2026-01-31",
    "moment": "2026-01-31T09:30:00Z",
    "document": "0199c0de-0000-7000-8000-000000000000",
    "address": {"city": "Bonn", "zip": 53},
    "tags": ["a", "b"],
    "people": [{"city": "Ulm"}, {"city": "Kiel", "zip": 24}],
    "headers": {"X-A/b#c~d": "1"},
    "limit": None,
    "note": "hi",
    "odd": 7,
    "any": {"deep": [1, 2.0, True]},
    "home": {"city": "Trier"},
}


def test_each_part_of_a_schema_has_its_control() -> None:
    shape = shape_of(EVERYTHING)
    widgets = {name: str(part.widget) for name, part in shape.members.items()}
    assert widgets == {
        "name": "line",
        "text": "lines",
        "count": "number",
        "ratio": "number",
        "is_fast": "choice",
        "how": "choice",
        "day": "date",
        "moment": "moment",
        "document": "file",
        "address": "group",
        "tags": "list",
        "people": "list",
        "headers": "map",
        "limit": "number",
        "note": "line",
        "odd": "json",
        "any": "json",
        "home": "group",
    }
    assert shape.has_files
    assert shape.members["count"].attributes == {"type": "number", "min": 1, "max": 9, "step": 1}


def test_payload_survives_its_fields_unchanged() -> None:
    shape = shape_of(EVERYTHING)
    assert read_inputs(shape, write_inputs(shape, PAYLOAD)).value == PAYLOAD


def test_empty_fields_are_left_out_and_required_ones_are_faults() -> None:
    root = read_inputs(shape_of(EVERYTHING | {"required": ["name", "address"]}), {})
    assert {one.json_path for one in root.walk() if one.faults} == {"$.name", "$.address.city"}
    assert read_inputs(shape_of(EVERYTHING), {}).value == {}


@pytest.mark.parametrize(
    "payload",
    [
        {"tags": []},
        {"address": {}},
        {"unknown": 1},
        {"count": 3.0, "name": "a\nb"},
        {"text": "a\r\nb"},
        {"moment": "2026-01-31T09:30:00+01:00"},
        {"is_fast": "no"},
        {"tags": ["x"] * (MAX_ROWS + 1)},
    ],
)
def test_payload_that_fields_would_change_is_shown_as_json(payload: dict[str, Any]) -> None:
    with pytest.raises(UnshowableError):
        write_inputs(shape_of(EVERYTHING), payload)
    widget = PayloadWidget()
    widget.shape = shape_of(EVERYTHING)
    assert widget.entered(payload).mode == "json"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("/count", "many"),
        ("/count", "true"),
        ("/ratio", "1e999"),
        ("/is_fast", "perhaps"),
        ("/day", "2026-02-30"),
        ("/moment", "tomorrow"),
        ("/any", "{"),
        ("/tags#rows", str(MAX_ROWS + 1)),
    ],
)
def test_unreadable_input_is_a_fault_at_its_field(name: str, text: str) -> None:
    root = read_inputs(shape_of(EVERYTHING), {name: text})
    [control] = [one for one in root.walk() if one.name == name.partition("#")[0]]
    assert len(control.faults) == 1


def test_depth_and_number_of_controls_are_bounded() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(MAX_DEPTH + 5):
        schema = {"type": "object", "properties": {"inner": schema}}
    shape, depth = shape_of(schema), 0
    while shape.widget is Widget.GROUP:
        shape, depth = shape.members["inner"], depth + 1
    assert (shape.widget, depth) == (Widget.JSON, MAX_DEPTH + 1)
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(MAX_CONTROLS + 1)}}
    assert shape_of(wide).widget is Widget.JSON
    endless = {"type": "object", "properties": {"next": {"$ref": "#"}, "self": {"$ref": "#/properties/self"}}}
    assert shape_of(endless).members["self"].widget is Widget.JSON


def test_rows_within_rows_are_bounded_together() -> None:
    leaf = {"type": "object", "properties": {f"p{number}": {"type": "integer"} for number in range(50)}}
    inner = {"type": "object", "properties": {"rows": {"type": "array", "items": leaf}}}
    shape = shape_of({"type": "object", "properties": {"rows": {"type": "array", "items": inner}}})
    counts = {"/rows#rows": "100", **{f"/rows/{number}/rows#rows": "100" for number in range(100)}}
    root = read_inputs(shape, counts)
    assert sum(1 for _ in root.walk()) < 3_000
    assert len(root.faults) == 1
    with pytest.raises(UnshowableError):
        write_inputs(shape, {"rows": [{"rows": [{}] * 100}] * 100})


def test_row_is_added_and_removed() -> None:
    shape = shape_of(EVERYTHING)
    inputs: Any = write_inputs(shape, {"people": PAYLOAD["people"], "headers": {"A": "1", "B": "2"}})
    added = with_row_changed(read_inputs(shape, inputs), inputs, "add:/people")
    assert added["/people#rows"] == "3"
    fewer = with_row_changed(read_inputs(shape, added), added, "remove:/people/0")
    fewer = with_row_changed(read_inputs(shape, fewer), fewer, "remove:/people/1")
    fewer = with_row_changed(read_inputs(shape, fewer), fewer, "remove:/headers/0")
    root = read_inputs(shape, fewer)
    assert root.value == {"people": [{"city": "Kiel", "zip": 24}], "headers": {"B": "2"}}
    assert with_row_changed(root, fewer, "add:/name") is fewer


def test_rows_of_a_map_need_names_of_their_own() -> None:
    root = read_inputs(shape_of(EVERYTHING), {"/headers#rows": "2", "/headers/0#key": "A", "/headers/1#key": "A"})
    assert [row.faults[-1] for row in root.rows[12].rows if len(row.faults) > 1] == [
        "Each row needs a name of its own."
    ]


def test_defaults_fill_a_new_form() -> None:
    schema = {"type": "object", "properties": {"a": {"default": 5, "type": "integer"}, "b": {"type": "string"}}}
    assert defaults_of(shape_of(schema)) == {"a": 5}
    assert defaults_of(shape_of(EVERYTHING)) is MISSING


def field_of(kind: str) -> PayloadField:
    field = PayloadField()
    field.use(kind, tenant=None, access=None)
    return field


def test_posted_fields_are_validated_by_the_kinds_schema() -> None:
    field = field_of("http_call")
    data = QueryDict(mutable=True)
    data.update({"payload-mode": "fields", "payload/url": "ftp://x", "payload/expected_status#rows": "1"})
    data["payload/expected_status/0"] = "999"
    entered = field.widget.value_from_datadict(data, {}, "payload")
    with pytest.raises(forms.ValidationError, match="marked"):
        field.clean(entered)
    assert set(field.widget.faults) == {"$.url", "$.expected_status[0]"}
    html = field.widget.draw("payload", entered)
    assert html.count('aria-invalid="true"') == 2
    data["payload/url"], data["payload/expected_status/0"] = "https://x", "200"
    assert field.clean(field.widget.value_from_datadict(data, {}, "payload")) == {
        "url": "https://x",
        "expected_status": [200],
    }


def test_posted_text_is_no_upload() -> None:
    widget = PayloadWidget()
    widget.shape = shape_of(EVERYTHING)
    data = QueryDict(mutable=True)
    data.update({"payload-mode": "fields", "payload/document#file": "[object File]"})
    assert widget.value_from_datadict(data, {}, "payload").inputs == {}


def test_json_has_the_position_and_a_sentence_for_each_fault() -> None:
    field = field_of("http_call")
    entered = Entered("json", text='{"url": "https://x", "timeout_seconds": 0}')
    with pytest.raises(forms.ValidationError):
        field.clean(entered)
    html = field.widget.draw("payload", entered)
    assert "$.timeout_seconds: 0 is less than the minimum of 0.1" in html
    assert "&quot;timeout_seconds&quot;: 0" in html


def test_members_that_take_secrets_suggest_them() -> None:
    shape = shape_of(HttpCall.payload_schema, HttpCall.secret_fields)
    assert [name for name, part in shape.members.items() if part.takes_secrets] == ["headers"]
    assert shape.members["headers"].item is not None
    assert shape.members["headers"].item.takes_secrets


@pytest.mark.parametrize("kind", ["http_call", "sleep", "fail", "noop", "webhook_delivery"])
def test_html_has_no_inline_script_and_each_input_a_label(kind: str) -> None:
    html = field_of(kind).widget.render("payload", {})
    assert "<script" not in html
    assert "style=" not in html
    for part in html.split(' id="')[1:]:
        name = part.partition('"')[0]
        if name.startswith("id_payload/") and not name.endswith(("-help", "-add")):
            assert f'for="{name}"' in html


def test_reference_stands_for_any_value() -> None:
    shape = shape_of(EVERYTHING, is_reference=lambda text: text.startswith("{{ x"))
    payload = dict.fromkeys(("name", "count", "is_fast", "how", "day", "moment", "document", "odd"), "{{ x }}")
    assert read_inputs(shape, write_inputs(shape, payload)).value == payload
    assert shape.members["count"].attributes == {"type": "text"}
    assert read_inputs(shape, {"/count": "{{ X }}"}).rows[2].faults == ["Enter a number."]
    with pytest.raises(UnshowableError):
        write_inputs(shape, {"tags": "{{ x }}"})
