"""Metrics require their token."""

import pytest
from django.test import Client

from tests.platform_settings import ChangePlatformSettings


def test_metrics_do_not_exist_without_a_token(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(METRICS_TOKEN="")
    assert Client().get("/metrics").status_code == 404


@pytest.mark.parametrize("offered", ["", "Bearer ", "Bearer wrong", "Basic right", "right", "Bearer ríght"])
def test_metrics_refuse_a_wrong_token(change_platform_settings: ChangePlatformSettings, offered: str) -> None:
    change_platform_settings(METRICS_TOKEN="right")
    response = Client().get("/metrics", headers={"authorization": offered})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
