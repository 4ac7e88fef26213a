"""Plug-in isolation: a package that a test made importable is removed from every Celery application afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jobsplatform.settings.env import BASE_DIR
from tests.installing import EXAMPLE, install_example

# In a process of its own: what else this one has imported would decide what a later application contains.
SCRIPT = """
import importlib, sys
from pathlib import Path

import django
from celery import Celery

from tests.installing import found_by_this_process

django.setup()
for _ in range(2):
    with found_by_this_process(Path(sys.argv[1])):
        importlib.import_module("acme_word_count.tasks")
app = Celery("later", set_as_current=False, broker="memory://")
app.finalize()
print(*app.tasks)
"""


def test_later_celery_application_does_not_contain_the_package(tmp_path: Path) -> None:
    folder = install_example(tmp_path)
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    done = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert "celery.chord" in names
    assert [name for name in names if name.startswith(EXAMPLE.name)] == []
