"""Steps of the image, executed without a container engine: it copies everything that the program needs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobsplatform.settings.env import BASE_DIR
from tests.named_sql import sql_sources

CONTAINERFILE = (BASE_DIR / "deploy" / "Containerfile").read_text()
# One line for each instruction, without comments and continuations.
INSTRUCTIONS = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE)).splitlines()
SECONDS = 120
# No server listens there: the web process starts without a connection.
SERVERS = {"DATABASE_URL": "postgres://jobs:x@127.0.0.1:9/jobs", "REDIS_URL": "redis://127.0.0.1:9/0"}


def arguments(instruction: str) -> list[str]:
    """Return the arguments of each instruction of that name."""
    return [line.split(maxsplit=1)[1] for line in INSTRUCTIONS if line.startswith(f"{instruction} ")]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder /srv/jobs of the first stage after its last RUN."""
    root = tmp_path_factory.mktemp("image")
    for line in arguments("COPY"):
        if line.startswith("--from"):
            continue
        *sources, target = shlex.split(line)
        for source in sources:
            path, to = BASE_DIR / source, root / (source if target in (".", "./") else target)
            if path.is_dir():
                shutil.copytree(path, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, to)
    [build] = [line for line in arguments("RUN") if "collectstatic" in line]
    steps = build.replace("/opt/venv/bin/python", shlex.quote(sys.executable)).replace("/srv/jobs", str(root))
    run(["sh", "-c", steps], root)
    return root


def environment() -> dict[str, str]:
    """Return the environment of the image, except paths of its own file system."""
    [line] = arguments("ENV")
    given = dict(word.split("=", 1) for word in shlex.split(line))
    return {name: value for name, value in given.items() if not value.startswith("/")}


def run(command: list[str], folder: Path, **variables: str) -> str:
    """Run a command as a container would: in that folder, without variables of the tests."""
    bare = {"PATH": os.environ["PATH"], "HOME": str(folder)} | variables
    done = subprocess.run(command, cwd=folder, env=bare, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.process
def test_build_collects_static_files_of_the_pages(image: Path) -> None:
    [manifest] = image.rglob("staticfiles.json")
    collected = json.loads(manifest.read_text())["paths"]
    for name in ("console/js/console.js", "console/css/console.css", "unfold/css/styles.css", "admin/js/core.js"):
        assert (manifest.parent / collected[name]).is_file(), name
    assert list(image.glob("scheduling/__pycache__/*.pyc"))


@pytest.mark.process
def test_statements_are_copied_beside_their_modules(image: Path) -> None:
    assert [name for name, text in sql_sources() if (image / name).read_text() != text] == []


@pytest.mark.process
def test_image_command_loads_the_copied_program(image: Path, tmp_path: Path) -> None:
    [command] = arguments("CMD")
    server, *options = json.loads(command)
    program = str(Path(sys.executable).with_name(server))
    variables = environment() | SERVERS | {"SECRET_KEY": "k" * 50, "FILES_ROOT": str(tmp_path)}
    run([program, "--check-config", *options], image, **variables)
    shown = run([program, "--print-config", *options], image, **variables)
    # If the server closes an idle connection first, a request now and then gets no answer.
    assert re.search(r"^keepalive +: 75$|^keepalive += 75$", shown, re.MULTILINE), shown


@pytest.mark.process
@pytest.mark.parametrize("module", ["jobsplatform.asgi", "jobsplatform.celery"])
def test_other_entry_points_load(image: Path, tmp_path: Path, module: str) -> None:
    variables = environment() | SERVERS | {"SECRET_KEY": "k" * 50, "FILES_ROOT": str(tmp_path)}
    code = f"import {module} as loaded; print(loaded.__file__)"
    assert run([sys.executable, "-c", code], image, **variables).strip().endswith(".py")


def test_image_runs_as_a_numbered_account_that_is_not_root() -> None:
    users = arguments("USER")
    [account] = [line for line in arguments("RUN") if "useradd" in line]
    uid, gid = users[-1].split(":")
    # Numeric, so that Kubernetes can verify that it is not root; group and user are the same everywhere.
    assert f"--gid {gid} " in account
    assert f"--uid {uid} " in account
    assert int(uid) > 0
    assert arguments("VOLUME") == ["/var/lib/jobs/files"]
