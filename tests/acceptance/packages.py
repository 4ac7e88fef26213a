"""Packages with kinds, and the processes started with them: the example's, installed by pip, and the chaos plug-in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.serving import START_SECONDS, Platform, is_ready
from tests.chaos.plugin.apps import ChaosConfig
from tests.installing import found_by_this_process, install_example
from tests.processors import added_processor


@pytest.fixture(scope="module")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_example(tmp_path_factory.mktemp("example"))


@pytest.fixture
def example(platform: Platform, example_folder: Path) -> Iterator[ManagedProcess]:
    """Start a dispatcher and a worker after the installation of the package, in place of the previous ones."""
    for before in (platform.dispatcher, platform.worker):
        assert before is not None
        before.stop()
    platform.start_dispatcher(PYTHONPATH=str(example_folder))
    worker = platform.begin_worker(PYTHONPATH=str(example_folder))
    eventually(lambda: is_ready(worker) or not worker.is_running, within=START_SECONDS, what="the worker is ready")
    with found_by_this_process(example_folder):
        yield worker


@pytest.fixture
def plugin_worker(platform: Platform) -> Iterator[ManagedProcess]:
    """Start a dispatcher and a worker of one slot that have the chaos plug-in, in place of the previous ones."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings"}
    for before in (platform.dispatcher, platform.worker):
        assert before is not None
        before.stop()
    platform.start_dispatcher(**settings)
    worker = platform.begin_worker(concurrency=1, **settings)
    eventually(lambda: is_ready(worker) or not worker.is_running, within=START_SECONDS, what="the worker is ready")
    with ExitStack() as added:
        for path in ChaosConfig.processors:
            added.enter_context(added_processor(path))
        yield worker
