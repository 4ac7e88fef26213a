"""The example package, installed by pip and importable in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installing import found_by_this_process, install_example
from tests.integration.api.conftest import acme_api, staff_api  # noqa: F401 - fixtures of this folder too


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_example(tmp_path_factory.mktemp("example"))


@pytest.fixture
def example(example_folder: Path) -> Iterator[None]:
    with found_by_this_process(example_folder):
        yield
