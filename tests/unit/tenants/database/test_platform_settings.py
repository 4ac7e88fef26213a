"""JOBS_PLATFORM: keys with defaults, read at the first use and after each change, and checked."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.test import override_settings

from tenants.checks import check_platform_settings
from tenants.database.platform_settings import PlatformSetting, PlatformSettings, declare, platform_settings
from tests.platform_settings import ChangePlatformSettings, override_platform_settings


def found(**values: Any) -> list[tuple[str, str]]:
    """Return ids and messages of the check with these values in JOBS_PLATFORM."""
    with override_settings(JOBS_PLATFORM=values):
        messages: list[CheckMessage] = check_platform_settings()
    return [(str(message.id), message.msg) for message in messages]


def test_missing_key_has_its_default() -> None:
    with override_settings(JOBS_PLATFORM={}):
        assert platform_settings.LEASE_SECONDS == 10.0
        assert platform_settings.KEY_REQUEST_RATE == (600, 120)


def test_missing_setting_counts_as_an_empty_dict() -> None:
    with override_settings(JOBS_PLATFORM={"LEASE_SECONDS": 3}):
        from django.conf import settings

        del settings.JOBS_PLATFORM
        platform_settings.forget()
        assert platform_settings.LEASE_SECONDS == 10.0


def test_change_takes_effect_at_once_and_keeps_other_keys(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(LEASE_SECONDS=3)
    change_platform_settings(SWEEP_SECONDS=2)
    assert (platform_settings.LEASE_SECONDS, platform_settings.SWEEP_SECONDS) == (3.0, 2.0)
    with override_platform_settings(LEASE_SECONDS=4):
        assert (platform_settings.LEASE_SECONDS, platform_settings.SWEEP_SECONDS) == (4.0, 2.0)
    assert platform_settings.LEASE_SECONDS == 3.0


def test_value_is_read_once() -> None:
    reads: list[None] = []

    def read() -> dict[str, Any]:
        reads.append(None)
        return {"LEASE_SECONDS": 3}

    found = PlatformSettings(read)
    assert [found.LEASE_SECONDS, found.LEASE_SECONDS] == [3.0, 3.0]
    assert len(reads) == 1
    found.forget()
    assert found.LEASE_SECONDS == 3.0
    assert len(reads) == 2


def test_integer_value_of_a_float_key_becomes_a_float(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(LEASE_SECONDS=3)
    assert isinstance(platform_settings.LEASE_SECONDS, float)


def test_undeclared_key_raises_and_the_closest_one_is_named() -> None:
    with pytest.raises(AttributeError, match="The closest one is 'LEASE_SECONDS'"):
        _ = platform_settings.LEASE_SECOND


def test_attribute_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        platform_settings.LEASE_SECONDS = 3


def test_key_cannot_be_declared_twice() -> None:
    with pytest.raises(ValueError, match="LEASE_SECONDS is declared twice"):
        declare(PlatformSetting("LEASE_SECONDS", 1.0, "Again."))


def test_check_names_an_unknown_key_and_the_closest_one() -> None:
    message = "JOBS_PLATFORM has no key 'LEASE_SECOND'. The closest one is 'LEASE_SECONDS'."
    assert found(LEASE_SECOND=3) == [("tenants.E008", message)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"LEASE_SECONDS": "10"}, "LEASE_SECONDS is of type str; it must be float."),
        ({"LEASE_SECONDS": True}, "LEASE_SECONDS is of type bool; it must be float."),
        ({"CIRCUIT_FAILURES": 1.5}, "CIRCUIT_FAILURES is of type float; it must be int."),
        ({"DIAGNOSTIC_KINDS": 1}, "DIAGNOSTIC_KINDS is of type int; it must be bool."),
        ({"ENCRYPTION_MASTER_KEYS": "a secret"}, "ENCRYPTION_MASTER_KEYS is of type str; it must be list of str."),
        ({"OUTGOING_HTTP_PORTS": ["80"]}, "OUTGOING_HTTP_PORTS is of type list; it must be list of int."),
        ({"KEY_REQUEST_RATE": (600,)}, "KEY_REQUEST_RATE is of type tuple; it must be pair of int."),
        ({"REDIS_ROLE_URLS": {"web": 1}}, "REDIS_ROLE_URLS is of type dict; it must be dict of str."),
        ({"PIPELINE_THREADS": 0}, "PIPELINE_THREADS is 0; it must be at least 1."),
        ({"OUTGOING_HTTP_PORTS": [80, 65_536]}, "OUTGOING_HTTP_PORTS is [80, 65536]; it must be at most 65535."),
        ({"WATCHDOG_SECONDS": 0}, "WATCHDOG_SECONDS is 0; it must be more than 0."),
        ({"EDITION": "other"}, "EDITION is 'other'; it must be 'cloud' or 'community'."),
        (
            {"HEARTBEAT_SECONDS": 6},
            "LEASE_SECONDS must be at least twice HEARTBEAT_SECONDS, or one late heartbeat loses a job.",
        ),
    ],
)
def test_check_names_a_wrong_value(values: dict[str, Any], message: str) -> None:
    assert found(**values) == [("tenants.E009", message)]


def test_check_accepts_values_of_the_right_types() -> None:
    assert (
        found(LEASE_SECONDS=20, OUTGOING_HTTP_PORTS=(443,), KEY_REQUEST_RATE=[1, 2], REDIS_ROLE_URLS={"web": "u"}) == []
    )


def test_check_refuses_a_value_that_is_not_a_dict() -> None:
    with override_settings(JOBS_PLATFORM=[]):
        [error] = check_platform_settings()
    assert error.msg == "JOBS_PLATFORM is not a dict."
