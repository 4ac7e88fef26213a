"""Definitions of pipelines, and the path of each fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.utils import translation
from jsonschema import Draft202012Validator

from workloads.documents.extraction.limits import MIB
from workloads.documents.split_settings import Chunking, SizeUnit, SplitSettings
from workloads.pipelines.definition import (
    SCHEMA,
    find_faults,
    find_source_faults,
)
from workloads.pipelines.indexing_settings import read_settings, settings_key
from workloads.pipelines.node_types import chain
from workloads.workflows.definition.validation import MAX_FAULTS

LOAD = {"dataset": "handbook"}
TEXT = {"type": "text", "name": "a.txt", "text": "One."}
SOURCES = "/nodes/0/config/sources"


def sources(*given: object) -> dict[str, Any]:
    return chain(datasource={"sources": list(given)}, load=LOAD)


def split(**config: Any) -> dict[str, Any]:
    return chain(split=config, load=LOAD)


def branching(
    nodes: Mapping[str, str | tuple[str, Mapping[str, Any]]], *edges: str, **configs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the steps with other nodes, by id, and these edges, such as `clean split` and `which llm long`."""
    made = chain(**{"load": LOAD, **configs})
    for name, node in nodes.items():
        kind, config = (node, {}) if isinstance(node, str) else node
        made["nodes"].append({"id": name, "type": kind, "config": dict(config)})
    made["edges"] = [dict(zip(("from", "to", "case"), edge.split(), strict=False)) for edge in edges]
    return made


IS_LONG = {"cases": [{"name": "long", "all": [{"ref": "nodes.extract.characters", "op": "gt", "value": 1_000}]}]}
WHICH = ("condition", IS_LONG)
BEGIN = ("datasource extract", "extract clean")
END = ("split embed", "embed load")
MAIN = (*BEGIN, "clean split", *END)


def test_schema_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for definition in (sources(TEXT), split(mode="page")):
        assert list(Draft202012Validator(SCHEMA).iter_errors(definition)) == []


def test_chain_needs_only_its_target() -> None:
    assert find_faults(chain(load=LOAD)) == []
    read = read_settings({"load": LOAD})
    assert (read.split_settings, read.batch_size) == (SplitSettings(200, 20, heading_level=2), 32)


def test_default_overlap_is_at_most_half_of_small_chunks() -> None:
    read = read_settings({"split": {"chunk_size": 20}, "load": LOAD}).split_settings
    assert (read.chunk_size, read.overlap, read.parent_size) == (20, 10, 80)


def test_mode_is_a_chunking_of_datasets() -> None:
    asked = {
        "mode": "parent_child",
        "size_unit": "characters",
        "chunk_size": 400,
        "chunk_overlap": 0,
        "parent_size": 900,
    }
    assert find_faults(split(**asked)) == []
    read = read_settings({"split": asked}).split_settings
    assert read == SplitSettings(400, 0, SizeUnit.CHARACTERS, Chunking.PARENT_CHILD, 900, 2)


@pytest.mark.parametrize(
    ("definition", "places"),
    [
        # No graph.
        ([], [""]),
        (None, [""]),
        ({}, [""]),
        ({"nodes": {}}, ["/nodes"]),
        ({"nodes": [5]}, ["/nodes/0"]),
        ({"nodes": [{"id": "a", "type": "datasource", "config": 5}]}, ["/nodes/0/config"] * 2),
        # The format of before.
        ({"load": LOAD}, ["", ""]),
        # Missing and unknown fields.
        (chain(), ["/nodes/5/config"]),
        (chain(load={**LOAD, "lode": 1}), ["/nodes/5/config"]),
        # Values of the wrong type, too small, too large.
        (chain(load={"dataset": 7}), ["/nodes/5/config/dataset"]),
        (split(chunk_size=5), ["/nodes/3/config/chunk_size"]),
        (split(mode="clever"), ["/nodes/3/config/mode"]),
        (chain(embed={"batch_size": 1_000}, load=LOAD), ["/nodes/4/config/batch_size"]),
        (chain(extract={"max_characters": 10**9}, load=LOAD), ["/nodes/1/config/max_characters"]),
        # Faults that no schema can express.
        (split(chunk_size=30, chunk_overlap=20), ["/nodes/3/config/chunk_overlap"]),
        (split(chunk_size=1_001), ["/nodes/3/config/chunk_size"]),
        (split(mode="parent_child", parent_size=50), ["/nodes/3/config/parent_size"]),
        # Sources: each by its number, once.
        (sources(TEXT, {"type": "text", "name": "a.txt"}), [f"{SOURCES}/1"]),
        (sources({"type": "ftp"}), [f"{SOURCES}/0/type"]),
        (sources({"text": "x"}), [f"{SOURCES}/0"]),
        (sources({"type": "file", "file": "7"}), [f"{SOURCES}/0/file"]),
        (sources({**TEXT, "url": "https://example.com"}), [f"{SOURCES}/0"]),
        (sources({"type": "url", "url": "file:///etc/passwd"}), [f"{SOURCES}/0/url"]),
        (sources({**TEXT, "name": "a\u202etxt.exe"}), [f"{SOURCES}/0/name"]),
        (sources({"type": "url", "url": "http://0177.0.0.1/"}), [f"{SOURCES}/0/url"]),
        (chain(datasource={"sources": "text"}, load=LOAD), [SOURCES]),
    ],
)
def test_each_fault_has_its_pointer(definition: object, places: list[str]) -> None:
    assert [fault.pointer for fault in find_faults(definition)] == places


@pytest.mark.parametrize(
    "definition",
    [
        # A branch that skips nothing but its own node, one that ends, and two ways to split.
        branching(
            {"which": WHICH, "short": ("llm", {"prompt": "{{ nodes.clean.text }}"})},
            *(*BEGIN, "clean which", "which short long", "which split else", "short split", *END),
        ),
        branching({"which": WHICH}, *BEGIN, "clean which", "which split long", *END),
        branching(
            {"which": WHICH, "other": ("split", {"mode": "page"})},
            *(*BEGIN, "clean which", "which split long", "which other else", "other embed", *END),
        ),
        # An answer beside the text, and after the split for the metadata of the document.
        branching(
            {
                "ask": ("llm", {"prompt": "{{ nodes.clean.text }}"}),
                "tell": ("http_request", {"url": "https://a.example"}),
            },
            *(*BEGIN, "clean split", "clean ask", "ask load", "split tell", *END),
        ),
    ],
)
def test_graph_in_which_each_way_takes_the_steps_in_order_is_valid(definition: dict[str, Any]) -> None:
    assert find_faults(definition) == []


@pytest.mark.parametrize(
    ("definition", "found"),
    [
        (
            branching({"other": "datasource"}, *MAIN),
            [("several_datasources", 6)],
        ),
        (
            branching({"other": ("load", LOAD)}, *MAIN, "embed other"),
            [("several_loads", 6), ("step_order", 6)],
        ),
        (branching({}, *BEGIN, "split clean", "clean split", *END), [("cycle", "/edges/3")]),
        (branching({}, *BEGIN, "clean split", "split embed"), [("unreachable_node", 5)]),
        (branching({}, *BEGIN, "clean split", "split embed", "embed lode"), [("unknown_node", "/edges/4/to")]),
        (branching({}, *MAIN, "load clean"), [("edge_from_load", "/edges/5")]),
        (branching({"x": "approval"}, *MAIN), [("unknown_type", "/nodes/6/type")]),
        # A step is missed, repeated, or out of its order.
        (
            branching({}, *BEGIN, "extract split", *END),
            [("step_missing", 3), ("step_order", 3), ("step_order", 4), ("step_order", 5)],
        ),
        (branching({"again": "clean"}, *BEGIN, "clean again", "again split", *END), [("step_order", 6)]),
        (
            branching({"again": "clean"}, *MAIN, "extract again", "again split"),
            [("step_order", 6)],
        ),
        (
            branching({"which": WHICH}, *BEGIN, "clean split", "split embed", "embed which", "which load long"),
            [("edge_missing", 4)],
        ),
        (
            branching(
                {"which": WHICH, "ask": ("template", {"template": "x"})},
                *(*BEGIN, "clean which", "which split else", "which ask long", "ask load", *END),
            ),
            [("step_missing", 5)],
        ),
        # Variables.
        (
            branching({"ask": ("llm", {"prompt": "{{ nodes.clean.text }}"})}, *MAIN, "split ask"),
            [("text_dropped", "/nodes/6/config/prompt")],
        ),
        (
            branching({"ask": ("llm", {"prompt": "{{ nodes.nobody.text }}"})}, *MAIN, "clean ask"),
            [("unknown_variable", "/nodes/6/config/prompt")],
        ),
        (
            branching({"ask": ("llm", {"prompt": "{{ nodes.clean.words }}"})}, *MAIN, "clean ask"),
            [("unknown_variable", "/nodes/6/config/prompt")],
        ),
        (
            branching({"ask": ("llm", {"prompt": "{{ nodes.clean.text }}"})}, *MAIN, "extract ask"),
            [("variable_not_upstream", "/nodes/6/config/prompt")],
        ),
        (
            branching({}, *MAIN, load={**LOAD, "metadata": {"a/b": {"ref": "nodes.ask.text"}}}),
            [("unknown_variable", "/nodes/5/config/metadata/a~1b/ref")],
        ),
    ],
)
def test_fault_of_a_graph_has_its_code_and_pointer(definition: dict[str, Any], found: list[tuple[str, Any]]) -> None:
    faults = [(fault.code, fault.pointer) for fault in find_faults(definition)]
    assert faults == [(code, place if isinstance(place, str) else f"/nodes/{place}") for code, place in found]


def test_step_neither_times_out_nor_continues_after_an_error() -> None:
    definition = chain(load=LOAD)
    definition["nodes"][3] |= {"on_error": "continue", "timeout_seconds": 5}
    faults = [(fault.code, fault.pointer) for fault in find_faults(definition)]
    assert faults == [("unknown_field", "/nodes/3/on_error"), ("unknown_field", "/nodes/3/timeout_seconds")]


def test_huge_graphs_are_refused_at_once() -> None:
    many = {f"n{number}": "clean" for number in range(100)}
    edges = [f"extract n{number}" for number in range(100)] + [f"n{number} split" for number in range(100)]
    assert [fault.code for fault in find_faults(branching(many, *MAIN, *edges))] == ["too_many_steps"]
    more = {f"n{number}": "clean" for number in range(300)}
    assert [fault.pointer for fault in find_faults(branching(more))] == ["/nodes"]


def test_long_value_is_not_repeated_in_its_fault() -> None:
    (fault,) = find_faults(sources({**TEXT, "text": "x" * 200_000}))
    assert fault.pointer == f"{SOURCES}/0/text"
    assert len(fault.detail) < 400


def test_faults_of_schema_are_in_the_active_language() -> None:
    definition = split(chunk_size=5)
    english = find_faults(definition)
    with translation.override("zh-hans"):
        chinese = find_faults(definition)
        (long,) = find_faults(sources({**TEXT, "text": "secret " * 30_000}))
    assert [fault.detail for fault in english] == ["5 is less than the minimum of 20"]
    assert [fault.detail for fault in chinese] == ["5 小于最小值 20"]
    assert "secret" not in long.detail


def test_number_of_reported_faults_is_limited() -> None:
    assert len(find_faults(sources(*[{"type": "text"}] * 500))) == MAX_FAULTS


def test_sources_of_a_run_are_checked_like_those_of_a_definition() -> None:
    assert find_source_faults([TEXT]) == []
    assert [fault.pointer for fault in find_source_faults([TEXT, {}])] == ["/sources/1"]
    assert [fault.pointer for fault in find_source_faults("text")] == ["/sources"]


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"embed": {"batch_size": 1}}, True),
        ({"split": {"heading_level": 3}}, True),
        ({"split": {"parent_size": 300}}, True),
        ({"split": {"size_unit": "characters"}}, False),
        ({"split": {"mode": "page"}}, False),
        ({"split": {"mode": "markdown"}}, False),
        ({"split": {"chunk_size": 100}}, False),
        ({"clean": {"remove_urls": True}}, False),
    ],
)
def test_settings_with_equal_chunks_have_equal_keys(changes: dict[str, Any], is_same: bool) -> None:
    plain, other = (settings_key(read_settings({"load": LOAD, **given})) for given in ({}, changes))
    assert (plain == other) is is_same


def test_key_of_the_default_settings_is_stable() -> None:
    """Stored documents contain it: with another key each would be indexed twice."""
    assert settings_key(read_settings({"load": LOAD})) == "bff724636c105b2c"
    markdown = read_settings({"split": {"mode": "markdown"}, "load": LOAD})
    assert settings_key(markdown) == "753c479f6ccffe0e"


def test_limits_of_parsing_follow_from_the_characters_allowed() -> None:
    parsing = read_settings({"extract": {"max_characters": 1_000}, "load": LOAD}).parsing
    assert (parsing.memory_bytes, parsing.output_bytes) == (512 * MIB, 8_000 + MIB)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/page", "http://192.168.0.1/", "http://intranet/page"])
def test_internal_address_of_a_definition_is_refused(url: str) -> None:
    (fault,) = find_faults(sources(TEXT, {"type": "url", "url": url}))
    assert (fault.pointer, fault.code) == (f"{SOURCES}/1/url", "address_refused")
    assert "OUTGOING_HTTP_ALLOWED_HOSTS" in fault.detail
    # A run names its own sources, and one that is refused does not stop the others.
    assert find_source_faults([{"type": "url", "url": url}]) == []
