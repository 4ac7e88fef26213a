"""Celery is configured as docs/concepts/architecture.md states: messages are hints, and Celery stores no state."""

import threading

import celery
import pytest

from jobsplatform.celery import app

EXPECTED = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "task_ignore_result": True,
    "worker_prefetch_multiplier": 0,
    "worker_disable_prefetch": True,
    "worker_enable_remote_control": False,
    "broker_channel_error_retry": True,
    "broker_connection_max_retries": None,
    "broker_connection_retry_on_startup": True,
    "broker_pool_acquire_timeout": 5,
}


@pytest.mark.parametrize(("name", "value"), EXPECTED.items())
def test_setting_has_the_value_that_reliability_requires(name: str, value: object) -> None:
    assert app.conf[name] == value


def test_half_open_socket_cannot_block_a_worker() -> None:
    options = app.conf.broker_transport_options
    assert options["socket_timeout"] <= 5
    assert options["health_check_interval"] <= 5
    assert options["socket_keepalive"] is True


def test_result_backend_is_off() -> None:
    assert app.conf.result_backend is None


def test_every_kind_times_out_before_celery_kills_its_child() -> None:
    assert app.conf.task_soft_time_limit < app.conf.task_time_limit


def test_project_app_is_current_in_every_thread() -> None:
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(celery.current_app._get_current_object()))
    thread.start()
    thread.join()
    assert seen == [app]


def test_fixup_of_django_is_not_installed() -> None:
    assert app.fixups == set() or list(app.fixups) == []
