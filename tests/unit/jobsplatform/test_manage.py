"""`manage.py`: without settings it names the cure, and commands load no part of the web."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jobsplatform.settings.env import BASE_DIR

pytestmark = pytest.mark.process

SERVER_VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "CACHE_URL", "REDIS_ROLE_URLS")
# What only the web needs.
WEB = (
    "rest_framework.views",
    "drf_spectacular.openapi",
    "unfold.admin",
    "opentelemetry.sdk.trace",
    "jobsplatform.urls",
    "scheduling.jobs.admin",
)


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's folder, without servers."""
    environment = {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES} | variables
    environment["DJANGO_SETTINGS_MODULE"] = "jobsplatform.settings"
    return subprocess.run(
        [sys.executable, *arguments], cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "postgres://jobs_app@127.0.0.1:9/jobs"}, "port 9 failed: Connection refused"),
    ],
)
def test_command_without_a_database_ends_in_one_sentence_with_the_cure(variables: dict[str, str], reason: str) -> None:
    ran = run("manage.py", "create_tenant", "acme", "--plan", "team", **variables)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("No connection to the database: ")
    assert reason in line
    assert "var/dev.env" in line


@pytest.mark.parametrize(
    "command", ["create_tenant", "issue_api_key", "submit_job", "index_documents", "dispatch_jobs"]
)
def test_command_loads_nothing_of_the_web(command: str) -> None:
    show = (
        "import sys, django; django.setup(); from django.core.management import get_commands, load_command_class; "
        f"load_command_class(get_commands()[{command!r}], {command!r}); print(*sys.modules, sep='\\n')"
    )
    ran = run("-c", show)
    assert ran.returncode == 0, ran.stderr
    assert set(WEB) & set(ran.stdout.split()) == set()
