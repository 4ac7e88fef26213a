"""Definitions of pipelines, and the path of each fault."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation
from jsonschema import Draft202012Validator

from workloads.documents.extraction.limits import MIB
from workloads.documents.split_settings import Chunking, SizeUnit, SplitSettings
from workloads.pipelines.definition import (
    MAX_FAULTS,
    SCHEMA,
    find_faults,
    find_source_faults,
)
from workloads.pipelines.indexing_settings import read_settings, settings_key

LOAD = {"dataset": "handbook"}
TEXT = {"type": "text", "name": "a.txt", "text": "One."}


def sources(*given: object) -> dict[str, Any]:
    return {"datasource": {"sources": list(given)}, "load": LOAD}


def test_schema_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_definition_needs_only_its_target() -> None:
    assert find_faults({"load": LOAD}) == []
    read = read_settings({"load": LOAD})
    assert (read.split_settings, read.batch_size) == (SplitSettings(200, 20, heading_level=2), 32)


def test_default_overlap_is_at_most_half_of_small_chunks() -> None:
    split = read_settings({"split": {"chunk_size": 20}, "load": LOAD}).split_settings
    assert (split.chunk_size, split.overlap, split.parent_size) == (20, 10, 80)


def test_mode_is_a_chunking_of_datasets() -> None:
    asked = {
        "mode": "parent_child",
        "size_unit": "characters",
        "chunk_size": 400,
        "chunk_overlap": 0,
        "parent_size": 900,
    }
    assert find_faults({"split": asked, "load": LOAD}) == []
    split = read_settings({"split": asked, "load": LOAD}).split_settings
    assert split == SplitSettings(400, 0, SizeUnit.CHARACTERS, Chunking.PARENT_CHILD, 900, 2)


@pytest.mark.parametrize(
    ("definition", "places"),
    [
        # Not an object.
        ([], ["$"]),
        (None, ["$"]),
        # Missing and unknown fields.
        ({}, ["$"]),
        ({"load": {}}, ["$.load"]),
        ({"load": LOAD, "lode": {}}, ["$"]),
        # Values of the wrong type, too small, too large.
        ({"load": {"dataset": 7}}, ["$.load.dataset"]),
        ({"load": LOAD, "split": {"chunk_size": 5}}, ["$.split.chunk_size"]),
        ({"load": LOAD, "split": {"mode": "clever"}}, ["$.split.mode"]),
        ({"load": LOAD, "embed": {"batch_size": 1_000}}, ["$.embed.batch_size"]),
        ({"load": LOAD, "extract": {"max_characters": 10**9}}, ["$.extract.max_characters"]),
        # Faults that no schema can express.
        ({"load": LOAD, "split": {"chunk_size": 30, "chunk_overlap": 20}}, ["$.split.chunk_overlap"]),
        ({"load": LOAD, "split": {"chunk_size": 1_001}}, ["$.split.chunk_size"]),
        ({"load": LOAD, "split": {"mode": "parent_child", "parent_size": 50}}, ["$.split.parent_size"]),
        # Sources: each by its number, once.
        (sources(TEXT, {"type": "text", "name": "a.txt"}), ["$.datasource.sources[1]"]),
        (sources({"type": "ftp"}), ["$.datasource.sources[0].type"]),
        (sources({"text": "x"}), ["$.datasource.sources[0]"]),
        (sources({"type": "file", "file": "7"}), ["$.datasource.sources[0].file"]),
        (sources({**TEXT, "url": "https://example.com"}), ["$.datasource.sources[0]"]),
        (sources({"type": "url", "url": "file:///etc/passwd"}), ["$.datasource.sources[0].url"]),
        (sources({**TEXT, "name": "a\u202etxt.exe"}), ["$.datasource.sources[0].name"]),
        (sources({"type": "url", "url": "http://0177.0.0.1/"}), ["$.datasource.sources[0].url"]),
    ],
)
def test_each_fault_has_its_path(definition: object, places: list[str]) -> None:
    assert [fault.field for fault in find_faults(definition)] == places


def test_long_value_is_not_repeated_in_its_fault() -> None:
    (fault,) = find_faults(sources({**TEXT, "text": "x" * 200_000}))
    assert fault.field == "$.datasource.sources[0].text"
    assert len(fault.detail) < 200


def test_faults_of_schema_are_in_the_active_language() -> None:
    definition = {"load": LOAD, "split": {"chunk_size": 5}, "lode": {}}
    english = find_faults(definition)
    with translation.override("zh-hans"):
        chinese = find_faults(definition)
        (long,) = find_faults(sources({**TEXT, "text": "secret " * 30_000}))
    assert [fault.field for fault in english] == [fault.field for fault in chinese]
    assert "5 is less than the minimum of 20" in {fault.detail for fault in english}
    assert {fault.detail for fault in chinese} == {"5 小于最小值 20", "不允许额外的属性（多出 'lode'）"}
    assert "secret" not in long.detail


def test_number_of_reported_faults_is_limited() -> None:
    assert len(find_faults(sources(*[{"type": "text"}] * 500))) == MAX_FAULTS


def test_sources_of_a_run_are_checked_like_those_of_a_definition() -> None:
    assert find_source_faults([TEXT]) == []
    assert [fault.field for fault in find_source_faults([TEXT, {}])] == ["$.sources[1]"]
    assert [fault.field for fault in find_source_faults("text")] == ["$.sources"]


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
    assert (fault.field, fault.code) == ("$.datasource.sources[1].url", "address_refused")
    assert "OUTGOING_HTTP_ALLOWED_HOSTS" in fault.detail
    # A run names its own sources, and one that is refused does not stop the others.
    assert find_source_faults([{"type": "url", "url": url}]) == []
