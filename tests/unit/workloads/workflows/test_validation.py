"""Each fault of a definition has a code and a pointer."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation
from jsonschema import Draft202012Validator

from tests.unit.workloads.workflows.definitions import END, START, condition, each, edges, node, workflow
from workloads.workflows.definition.graph_checks import depth_of
from workloads.workflows.definition.schema import definition_schema
from workloads.workflows.definition.tenant_checks import TenantBounds
from workloads.workflows.definition.validation import faults_in

TEXT = {"question": {"type": "string"}}
LLM = node("ask", "llm", prompt="Q: {{ inputs.question }}")


def found(definition: Any) -> list[tuple[str, str]]:
    return [(fault.code, fault.pointer) for fault in faults_in(definition)]


VALID = [
    workflow(),
    workflow(
        node("a"),
        node("b", template="{{ nodes.a.text }} {% for x in inputs.question %}{{ x }}{% endfor %}"),
        inputs=TEXT,
    ),
    workflow(LLM, inputs=TEXT, outputs={"answer": {"ref": "nodes.ask.text"}, "n": {"value": 3}}),
    workflow(
        condition("choose", ("yes", "inputs.question", "eq", "x")),
        node("a"),
        node("b"),
        ways=["start > choose", "choose yes> a", "choose else> b", "a > end", "b > end"],
        inputs=TEXT,
    ),
    workflow(each("each", [1, 2], node("inner", template="{{ item }} {{ index }}"))),
    workflow(
        each(
            "outer",
            [[1]],
            each("inner", "item", node("deep", template="{{ item }}"), output={"value": 1}),
            output={"value": 1},
        )
    ),
    workflow(node("a", on_error="continue"), node("b", template="{{ nodes.a.error.code }}")),
    workflow(node("ok", "approval", title="May it?"), ways=["start > ok", "ok approved> end"]),
    workflow(node("a", template="{% set n = inputs.question %}{{ n }}"), inputs=TEXT),
]


@pytest.mark.parametrize("definition", VALID, ids=range(len(VALID)))
def test_valid_definition_has_no_faults_and_fits_the_published_schema(definition: Any) -> None:
    assert faults_in(definition) == []
    assert list(Draft202012Validator(definition_schema()).iter_errors(definition)) == []


FAULTS = [
    # The shape.
    ([], [("value_invalid", "")]),
    ({}, [("input_missing", "")]),
    ({"nodes": []}, [("value_invalid", "/nodes")]),
    ({"nodes": [START, END], "ways": []}, [("unknown_field", "")]),
    (workflow(node("a", "dance")), [("unknown_type", "/nodes/1/type")]),
    ({"nodes": [{"id": "A!", "type": "start"}, END]}, [("value_invalid", "/nodes/0/id")]),
    (workflow({"id": "a", "type": "template"}), [("input_missing", "/nodes/1/config")]),
    (workflow(node("a", "llm")), [("input_missing", "/nodes/1/config")]),
    (workflow(node("a", "http_request", url="https://a.example", verb="GET")), [("unknown_field", "/nodes/1/config")]),
    (workflow(node("a", "delay", seconds=0)), [("value_invalid", "/nodes/1/config/seconds")]),
    (workflow(node("a", retry={"max_retries": 9})), [("value_invalid", "/nodes/1/retry/max_retries")]),
    (workflow(each("a", [1], {"id": "b", "type": "llm"})), [("input_missing", "/nodes/1/config/graph/nodes/0/config")]),
    (
        workflow(node("a", "iteration", items=3, graph={"nodes": []}, output={"value": 1})),
        [("value_invalid", "/nodes/1/config/items")],
    ),
    # The graph.
    (workflow(node("a"), node("a")), [("duplicate_node", "/nodes/2/id")]),
    ({"nodes": [END]}, [("start_missing", "/nodes")]),
    ({"nodes": [START]}, [("end_missing", "/nodes")]),
    (workflow(node("a"), ways=["start > b", "start > a > end"]), [("unknown_node", "/edges/0/to")]),
    (workflow(node("a"), ways=["start > end"]), [("unreachable_node", "/nodes/1")]),
    (workflow(node("a"), node("b"), ways=["start > a > b > a", "b > end"]), [("cycle", "/edges/2")]),
    (workflow(ways=["start > end", "end > start"]), [("edge_into_start", "/edges/1"), ("edge_from_end", "/edges/1")]),
    (workflow(ways=["start > end", "start > end"]), [("duplicate_edge", "/edges/1")]),
    (workflow(ways=["start yes> end"]), [("unknown_case", "/edges/0/case")]),
    (
        workflow(condition("c", ("yes", "inputs", "exists", True)), ways=["start > c > end"]),
        [("case_missing", "/edges/1")],
    ),
    (
        workflow(each("e", [1], node("inner", "start"), output={"value": 1})),
        [("misplaced_node", "/nodes/1/config/graph/nodes/0")],
    ),
    # Variables.
    (workflow(LLM), [("unknown_variable", "/nodes/1/config/prompt")]),
    (workflow(node("a", template="{{ nodes.b.text }}")), [("unknown_variable", "/nodes/1/config/template")]),
    (
        workflow(node("a", template="{{ nodes.b.text }}"), node("b")),
        [("variable_not_upstream", "/nodes/1/config/template")],
    ),
    (workflow(node("a"), node("b", template="{{ nodes.a.size }}")), [("unknown_variable", "/nodes/2/config/template")]),
    (workflow(node("a", template="{{ item }}")), [("unknown_variable", "/nodes/1/config/template")]),
    (workflow(node("a", template="{{ secrets }}")), [("secret_misplaced", "/nodes/1/config/template")]),
    (workflow(outputs={"x": {"ref": "nodes.gone.text"}}), [("unknown_variable", "/nodes/1/config/outputs/x/ref")]),
    (
        workflow(each("e", "nodes.later.text", node("b")), node("later")),
        [("variable_not_upstream", "/nodes/1/config/items/ref")],
    ),
    (
        workflow(each("e", [1], node("inner")), node("b", template="{{ nodes.inner.text }}")),
        [("variable_not_upstream", "/nodes/2/config/template")],
    ),
    # Templates.
    (workflow(node("a", template="{{ ")), [("template_invalid", "/nodes/1/config/template")]),
    (
        workflow(node("a", template="{{ inputs.question.upper() }}"), inputs=TEXT),
        [("template_invalid", "/nodes/1/config/template")],
    ),
    (workflow(node("a", template="{% include 'x' %}")), [("template_invalid", "/nodes/1/config/template")]),
]


@pytest.mark.parametrize(("definition", "faults"), FAULTS, ids=range(len(FAULTS)))
def test_each_fault_has_its_code_and_pointer(definition: Any, faults: list[tuple[str, str]]) -> None:
    assert found(definition) == faults
    assert all(fault.detail for fault in faults_in(definition))


def test_depth_of_nested_iterations_is_limited() -> None:
    definition = workflow(each("a", [[1]], each("b", "item", node("c"), output={"value": 1})))
    assert [(f.code, f.pointer) for f in faults_in(definition, TenantBounds(max_depth=1))] == [
        ("too_deep", "/nodes/1/config/graph/nodes/0")
    ]


def test_faults_of_all_nodes_are_reported_together() -> None:
    definition = workflow(node("a", "llm"), node("b", "delay", seconds=-1), node("c", "dance"))
    assert found(definition) == [
        ("input_missing", "/nodes/1/config"),
        ("value_invalid", "/nodes/2/config/seconds"),
        ("unknown_type", "/nodes/3/type"),
    ]


def test_published_schema_is_valid() -> None:
    Draft202012Validator.check_schema(definition_schema())
    assert edges("a > b > c", "a yes> c") == [
        {"from": "a", "to": "b"},
        {"from": "b", "to": "c"},
        {"from": "a", "to": "c", "case": "yes"},
    ]


def test_faults_of_schema_are_in_the_active_language() -> None:
    definition = workflow(node("a", template=7))
    english = faults_in(definition)
    with translation.override("zh-hans"):
        chinese = faults_in(definition)
    assert [(fault.code, fault.pointer) for fault in english] == [(fault.code, fault.pointer) for fault in chinese]
    assert [fault.detail for fault in english] == ["7 is not of type 'string'"]
    assert [fault.detail for fault in chinese] == ["7 的类型不是 'string'"]


@pytest.mark.parametrize(
    ("definition", "depth"),
    [
        (workflow(node("a")), 0),
        (workflow(each("outer", [1], node("a")), node("b")), 1),
        (workflow(each("one", [1], node("a")), each("two", [1], each("three", [1], node("b")))), 2),
    ],
)
def test_depth_of_iterations_is_that_of_the_deepest_one(definition: Any, depth: int) -> None:
    assert depth_of(definition) == depth
