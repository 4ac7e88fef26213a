"""The environment variables, their documentation and the example file agree."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobsplatform.settings.env import BASE_DIR, env
from tenants.database.platform_settings import declared_settings

DOCUMENTED = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| (.*?) \|", re.MULTILINE)
EXAMPLE = re.compile(r"^# ([A-Z_]+)=(.*)$", re.MULTILINE)


def default_as_text(value: Any) -> str:
    """Return a default in the notation of an environment file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "/".join(map(str, value))
    if isinstance(value, list | dict):
        return ",".join(map(str, value))
    return str(value)


KEYS = {setting.name: setting for setting in declared_settings()}


def type_name(name: str) -> str:
    """Return the name of a variable's type in the manual."""
    if name in KEYS:
        return KEYS[name].type_name
    cast = env.scheme[name][0]
    return "list of str" if cast is list else cast.__name__


SCHEME = {name: default_as_text(default) for name, (_cast, default) in env.scheme.items()}


PAGE = (BASE_DIR / "docs" / "reference" / "configuration.md").read_text()
DJANGO_PROJECT = "## In a Django project"


def test_each_variable_is_documented_with_its_type_and_default() -> None:
    rows = DOCUMENTED.findall(PAGE.partition(DJANGO_PROJECT)[0])
    assert {name: default.strip("`").replace("*(empty)*", "") for name, _, default in rows} == SCHEME
    assert {name: kind for name, kind, _ in rows} == {name: type_name(name) for name in SCHEME}


def test_each_key_without_a_variable_is_documented_with_its_type_and_default() -> None:
    rows = DOCUMENTED.findall(PAGE.partition(DJANGO_PROJECT)[2])
    assert {name: (kind, default.strip("`")) for name, kind, default in rows} == {
        setting.name: (setting.type_name, default_as_text(setting.default))
        for setting in KEYS.values()
        if not setting.has_variable
    }


def test_each_variable_without_a_key_is_documented_as_such() -> None:
    [line] = [line for line in PAGE.splitlines() if line.startswith("These variables are no keys")]
    assert set(re.findall(r"`([A-Z_]+)`", line)) == SCHEME.keys() - KEYS.keys()


def test_example_file_shows_each_variable_with_its_default() -> None:
    assert dict(EXAMPLE.findall((BASE_DIR / ".env.example").read_text())) == SCHEME


def test_settings_read_the_environment_in_env_only() -> None:
    readers = [
        path.name
        for path in (BASE_DIR / "jobsplatform" / "settings").glob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text())
    ]
    assert readers == []


def import_settings(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Import the settings in a process with these variables and no others of the platform."""
    inherited = {name: value for name, value in os.environ.items() if name not in SCHEME}
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "import jobsplatform.settings as s; print(s.DATABASES['default']['PORT'])",
        ],
        env=inherited | {"PYTHONPATH": str(BASE_DIR)} | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.process
@pytest.mark.skipif((BASE_DIR / ".env").exists(), reason="a .env file gives the variables that this test leaves out")
def test_settings_import_without_environment_and_address_no_server(tmp_path: Path) -> None:
    imported = import_settings(tmp_path)
    assert (imported.returncode, imported.stdout.strip()) == (0, "9"), imported.stderr


@pytest.mark.process
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"EDITION": "enterprise"}, "it must be 'cloud' or 'community'"),
        ({"LOG_FORMAT": "xml"}, "it must be 'console' or 'json'"),
        ({"LEASE_SECONDS": "3", "HEARTBEAT_SECONDS": "2"}, "at least twice HEARTBEAT_SECONDS"),
        ({"CIRCUIT_FAILURES": "-1"}, "CIRCUIT_FAILURES is -1; it must be at least 0"),
        ({"WATCHDOG_SECONDS": "0"}, "WATCHDOG_SECONDS is 0.0; it must be more than 0"),
        ({"PIPELINE_THREADS": "101"}, "it must be at most 100"),
        ({"OUTGOING_HTTP_PORTS": "80,443,70000"}, "it must be at most 65535"),
        ({"KEY_REQUEST_RATE": "600"}, "KEY_REQUEST_RATE: it must be two numbers, such as 600/120"),
        # The cache may not share the broker's keys, and database 1 cannot be derived from a given 1.
        ({"REDIS_URL": "redis://localhost:6379/1"}, "set CACHE_URL"),
    ],
)
def test_invalid_value_is_refused_with_its_name(tmp_path: Path, variables: dict[str, str], message: str) -> None:
    imported = import_settings(tmp_path, **variables)
    assert imported.returncode != 0
    assert message in imported.stderr
