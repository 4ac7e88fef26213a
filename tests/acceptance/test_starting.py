"""Processes with an invalid configuration exit at once, with the reason."""

from __future__ import annotations

from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port


def test_process_without_secret_key_does_not_start(db: None, shared_platform: Platform) -> None:
    # The test settings have their own key.
    keyless = {"DJANGO_SETTINGS_MODULE": "jobsplatform.settings", "SECRET_KEY": ""}
    started = {
        "web": shared_platform.start_web(free_port(), **keyless),
        "streams": shared_platform.start_streams(free_port(), **keyless),
        "beat": shared_platform.start_beat(**keyless),
        "dispatcher": shared_platform.start("dispatch_jobs", **keyless),
        "worker": shared_platform.start("run_worker", "--pool=default", "--slots=1", **keyless),
        "platform": shared_platform.start("run_platform", f"--bind=127.0.0.1:{free_port()}", **keyless),
    }
    eventually(
        lambda: not any(process.is_running for process in started.values()),
        within=START_SECONDS,
        what="all have ended",
    )
    for name, process in started.items():
        assert process.wait() != 0, name
        assert "SECRET_KEY is not set" in process.log, name


def test_plain_celery_worker_does_not_start_on_queues_of_the_platform(db: None, shared_platform: Platform) -> None:
    plain = shared_platform.start_celery("worker", "--concurrency=1")
    eventually(lambda: not plain.is_running, within=START_SECONDS, what="it has ended")
    assert plain.wait() == 1
    assert "manage.py run_worker --pool maintenance" in plain.log
