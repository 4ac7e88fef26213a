"""Nodes of the types `json_extract` and `merge`, with plain values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from scheduling.kit.base import PermanentError
from tests.unit.workloads.workflows.definitions import node, workflow
from workloads.workflows.definition.validation import faults_in
from workloads.workflows.engine.variables import VariableMissingError
from workloads.workflows.nodes import json_extract, merge

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


def place(known: dict[str, Any], **config: Any) -> Any:
    def evaluate(value: dict[str, Any]) -> Any:
        if value.get("ref", "") not in known and "ref" in value:
            raise VariableMissingError(value["ref"])
        return known[value["ref"]] if "ref" in value else value["value"]

    return SimpleNamespace(config=config, reading=SimpleNamespace(evaluate=evaluate))


def extract(value: Any, **config: Any) -> Any:
    work = json_extract.prepare(place({"v": value}, value={"ref": "v"}, **config))
    assert work.now is not None
    return work.now().outputs["json"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 1}',
        ' {"n": 1}\n',
        'Here it is:\n```json\n{"n": 1}\n```\nDone.',
        '```\n{"n": 1}\n```',
        '```JSON\n{"n": 1}```',
        '```{"n": 1}```',
        '```python\nprint()\n```\nand\n```json\n{"n": 1}\n```',
    ],
    ids=["plain", "spaces", "fenced", "no_language", "upper_case", "one_line", "second_block"],
)
def test_json_is_found_in_text(text: str) -> None:
    assert extract(text, schema=SCHEMA) == {"n": 1}


def test_value_that_is_no_text_is_taken_as_it_is() -> None:
    assert extract([1, {"n": 2}]) == [1, {"n": 2}]


@pytest.mark.parametrize(
    ("value", "config"),
    [
        ("no JSON", {}),
        ("```python\n{}\n```", {}),
        ('{"n": "1"}', {"schema": SCHEMA}),
        ({"n": "1"}, {"schema": SCHEMA}),
        ("[" * 100_000, {}),
        ("1" * 1_000_001, {}),
        ("NaN", {}),
    ],
    ids=["none", "other_language", "mismatch", "mismatch_of_value", "deep", "long", "constant"],
)
def test_text_without_matching_json_is_refused(value: Any, config: dict[str, Any]) -> None:
    with pytest.raises(PermanentError) as refused:
        extract(value, **config)
    assert refused.value.code == "json_invalid"


def test_schema_that_cannot_be_checked_is_a_fault_of_the_definition() -> None:
    schema = {"type": "string", "pattern": "(a+)+$"}
    definition = workflow(node("x", "json_extract", value={"value": "a"}, schema=schema))
    assert [(fault.code, fault.pointer) for fault in faults_in(definition)] == [
        ("value_invalid", "/nodes/1/config/schema")
    ]


def test_merge_takes_the_first_value_that_exists() -> None:
    config = {"values": [{"ref": "a"}, {"ref": "b"}, {"ref": "c"}]}
    work = merge.prepare(place({"b": None, "c": 0}, **config))
    assert work.now is not None
    assert work.now().outputs == {"value": 0}  # type: ignore[union-attr]
    with pytest.raises(VariableMissingError):
        merge.prepare(place({"b": None}, **config))


def test_merge_may_read_both_branches() -> None:
    choose = node("choose", "condition", cases=[{"name": "a", "all": [{"ref": "inputs.n", "op": "exists"}]}])
    join = node("join", "merge", values=[{"ref": "nodes.left.text"}, {"ref": "nodes.right.text"}])
    ways = ["start > choose", "choose a> left", "choose else> right", "left > join", "right > join", "join > end"]
    definition = workflow(
        choose, node("left"), node("right"), join, ways=ways, inputs={"n": {"type": "number", "required": False}}
    )
    assert faults_in(definition) == []
