"""Residency of jobs about data: both label and tenant must allow a region."""

from __future__ import annotations

import pytest

from scheduling.regions.rules import ANYWHERE, Residency


@pytest.mark.parametrize(
    ("tenant", "label", "allowed", "refused"),
    [
        (ANYWHERE, ANYWHERE, ["eu", "us", ""], []),
        (ANYWHERE, Residency("", ("eu",)), ["eu"], ["us", ""]),
        (Residency("", ("eu", "us")), ANYWHERE, ["eu", "us"], ["asia", ""]),
        (Residency("", ("eu", "us")), Residency("", ("us", "asia")), ["us"], ["eu", "asia", ""]),
        (Residency("", ("eu",)), Residency("", ("us",)), [], ["eu", "us", ""]),
    ],
)
def test_both_must_allow_the_region(
    tenant: Residency, label: Residency, allowed: list[str], refused: list[str]
) -> None:
    both = tenant.of_data(label)
    assert [region for region in allowed if not both.allows(region)] == []
    assert [region for region in refused if both.allows(region)] == []


def test_regions_left_are_in_the_order_of_the_label() -> None:
    both = Residency("", ("a", "b", "c")).of_data(Residency("", ("c", "x", "a")))
    assert both.all_allowed() == ["c", "a"]


def test_home_and_distance_are_those_of_the_label_if_it_has_them() -> None:
    tenant = Residency("eu", ("eu", "us"))
    assert tenant.of_data(Residency("us", ())) == Residency("us", ("eu", "us"))
    assert tenant.of_data(Residency("", ("us",))).home == "eu"
    both = tenant.of_data(Residency("us", ("us", "eu")))
    assert [both.distance(region) for region in ("us", "eu", "asia")] == [0, 2, 3]
