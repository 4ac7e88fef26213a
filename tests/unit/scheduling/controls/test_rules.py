"""Rules of controls on plain facts, and the detectors on planted and on hostile texts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from scheduling.controls.detectors import DETECTORS, SEARCHED_CHARACTERS, find
from scheduling.controls.rules import RULES, Facts, Terms, allows_host, window_end
from tests.security.growth import grows_linearly

TENANT, OTHER = UUID(int=1), UUID(int=2)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
FACTS = Facts("noop", TENANT, NOON, "eu", ("reviewed",), {"classification": "internal"}, {"n": 1})
CARD = "4111 1111 1111 1111"
TOKEN = "ghp_" + "a1B2" * 9
HOSTILE = (
    "a" * 100_000,
    "4111-" * 20_000,
    "a@" * 50_000,
    "a@b." * 30_000,
    "aws" * 30_000,
    "1" * 100_000,
    "eyJ" * 30_000,
)


def fails(rule: str, parameters: dict[str, Any], facts: Facts = FACTS) -> bool:
    assert Draft202012Validator(RULES[rule].schema).is_valid(parameters)
    return Terms("1", "x", "submission", rule, parameters).fails(facts)


def test_required_tags_and_labels() -> None:
    assert not fails("required_tags", {"tags": ["reviewed"], "labels": {"classification": ["internal", "public"]}})
    assert fails("required_tags", {"tags": ["reviewed", "signed"]})
    assert fails("required_tags", {"labels": {"classification": ["public"]}})
    assert fails("required_tags", {"labels": {"owner": []}})
    assert not fails("required_tags", {"labels": {"classification": []}})


def test_allowed_kinds_and_regions() -> None:
    assert not fails("allowed_kinds", {"kinds": ["noop"], "regions": ["eu"]})
    assert fails("allowed_kinds", {"kinds": ["sleep"]})
    assert fails("key_residency", {"regions": ["us"]})
    assert fails("key_residency", {"regions": ["us"]}, FACTS._replace(region=""))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("card", CARD),
        ("card", "5500-0000-0000-0004"),
        ("card", "378282246310005"),
        ("card", "PAN:\n4111111111111111\tA"),
        ("card", "4111 1111 1111 1111 12/27"),
        ("card", "4111111111111111 123"),
        ("card", "2234 4111 1111 1111 1111"),
        ("key", 'aws_key = "' + "a1B2" * 10 + '"'),
        ("email", "write to jane.doe+x@example.co.uk"),
        ("key", "-----BEGIN RSA PRIVATE KEY-----"),
        ("key", "AKIAABCDEFGHIJKLMNOP"),
        ("key", TOKEN),
    ],
)
def test_planted_value_is_found_by_its_detector_only(name: str, text: str) -> None:
    document = {"deep": [{"text": f"before {text} after"}]}
    assert [one for one in DETECTORS if find(document, [one])] == [name]
    assert fails("payload_detector", {"detect": [name]}, FACTS._replace(document=document))


@pytest.mark.parametrize(
    "text", ["4111 1111 1111 1112", "1772452800000", "01890a5d-ac96-774b-bcce-b302099a8057", "a@b", "akia", "BEGIN KEY"]
)
def test_harmless_text_is_not_found(text: str) -> None:
    assert not find({"text": text}, [*DETECTORS])


def test_text_beyond_the_bound_is_not_searched() -> None:
    assert not find({"text": "x " * SEARCHED_CHARACTERS + CARD}, [*DETECTORS])


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:5])
def test_hostile_text_takes_linear_time(text: str) -> None:
    assert grows_linearly(lambda searched: find(searched, [*DETECTORS]), text, text[: len(text) // 4])


@pytest.mark.parametrize(
    ("parameters", "hour", "end"),
    [
        ({"from": "11:00", "to": "13:00"}, 12, datetime(2026, 3, 2, 13, tzinfo=UTC)),
        ({"from": "11:00", "to": "12:00"}, 12, None),
        ({"from": "22:00", "to": "04:00"}, 3, datetime(2026, 3, 2, 4, tzinfo=UTC)),
        ({"from": "22:00", "to": "04:00", "days": [6]}, 3, datetime(2026, 3, 2, 4, tzinfo=UTC)),
        ({"from": "22:00", "to": "04:00", "days": [0]}, 3, None),
        ({"days": [0]}, 12, datetime(2026, 3, 3, tzinfo=UTC)),
        ({"days": [1]}, 12, None),
    ],
)
def test_maintenance_window(parameters: dict[str, Any], hour: int, end: datetime | None) -> None:
    now = NOON.replace(hour=hour)
    assert window_end(parameters, now) == end
    assert fails("maintenance_window", parameters, FACTS._replace(now=now)) is (end is not None)


def test_listed_hosts_are_allowed() -> None:
    hosts = ["api.example.com", "*.example.org"]
    assert all(allows_host(hosts, host) for host in ("api.example.com", "API.example.com", "a.b.example.org"))
    assert not any(allows_host(hosts, host) for host in ("example.com", "example.org", "api.example.com.evil.net", "1"))


def test_control_covers_its_tenant_and_kind() -> None:
    terms = Terms("1", "x", "submission", "required_tags", {}, str(TENANT), "noop")
    assert terms.covers("noop", TENANT)
    assert not terms.covers("noop", OTHER)
    assert not terms.covers("sleep", TENANT)


@pytest.mark.parametrize(
    ("rule", "parameters"),
    [
        ("required_tags", {}),
        ("required_tags", {"tag": ["x"]}),
        ("required_tags", {"tags": ["x"] * 51}),
        ("required_tags", {"tags": ["x" * 300]}),
        ("payload_detector", {"detect": ["passport"]}),
        ("maintenance_window", {"from": "24:00", "to": "01:00"}),
        ("maintenance_window", {"days": [7]}),
        ("egress_hosts", {"hosts": ["https://example.com/"]}),
        ("egress_hosts", {"hosts": []}),
        ("key_residency", {"regions": "eu"}),
        ("allowed_kinds", []),
    ],
)
def test_parameters_that_do_not_fit_the_rule_are_invalid(rule: str, parameters: Any) -> None:
    assert not Draft202012Validator(RULES[rule].schema).is_valid(parameters)


@pytest.mark.parametrize("moment", ["04:00\n", "0\u0664:00", "24:00", "4:00"])
def test_window_takes_times_that_can_be_read_only(moment: str) -> None:
    schema = Draft202012Validator(RULES["maintenance_window"].schema)
    assert schema.is_valid({"to": "04:00"})
    assert not schema.is_valid({"to": moment})
    assert not Draft202012Validator(RULES["egress_hosts"].schema).is_valid({"hosts": ["example.com\n"]})
