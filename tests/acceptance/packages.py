"""The example's package, installed by pip, and the processes started afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.serving import START_SECONDS, Platform, is_ready
from tests.installing import found_by_this_process, install_example


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
