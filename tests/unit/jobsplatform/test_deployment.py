"""Django's deployment checks pass in the documented production environment."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobsplatform.settings.env import BASE_DIR, env

SETTING = re.compile(r"^([A-Z_]+)=(.*)$", re.MULTILINE)


def production_environment() -> dict[str, str]:
    """Return the variables of the block under "In production" in docs/reference/configuration.md."""
    text = (BASE_DIR / "docs" / "reference" / "configuration.md").read_text()
    block = text.split("## In production", 1)[1].split("```")[1]
    return dict(SETTING.findall(block))


def check_deploy(tmp_path: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in env.scheme}
    return subprocess.run(
        [sys.executable, str(BASE_DIR / "manage.py"), "check", "--deploy", "--fail-level=WARNING"],
        env=inherited | production_environment() | {"DJANGO_SETTINGS_MODULE": "jobsplatform.settings"} | changes,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.process
def test_documented_environment_passes_the_deployment_checks(tmp_path: Path) -> None:
    checked = check_deploy(tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


@pytest.mark.process
def test_plain_http_fails_the_deployment_checks(tmp_path: Path) -> None:
    assert check_deploy(tmp_path, HTTPS_ONLY="false").returncode != 0
