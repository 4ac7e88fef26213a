"""Management commands describe themselves: help for the command and each argument, `--json` where it prints facts."""

from __future__ import annotations

from argparse import ArgumentParser

import pytest
from django.core.management import get_commands, load_command_class

from jobsplatform.settings.env import BASE_DIR

PACKAGES = ("jobsplatform", "scheduling", "tenants", "workloads")
COMMANDS = {name: str(app) for name, app in get_commands().items() if str(app).split(".")[0] in PACKAGES}

# Commands without `--json`, each with the reason.
_RUNS = "runs until it is stopped"
_REPLACED = "only names the command that replaces it"
NO_FACTS = {
    "autoscale_workers": _RUNS,
    "axes_reset": _REPLACED,
    "axes_reset_ip": _REPLACED,
    "axes_reset_ip_username": _REPLACED,
    "axes_reset_username": _REPLACED,
    "bootstrap_database": "prints SQL, or that the database is ready",
    "changepassword": _REPLACED,
    "createsuperuser": _REPLACED,
    "dispatch_jobs": _RUNS,
    "export_audit_heads": "prints JSON lines always",
    "migrate": "prints what Django's command of this name prints",
    "run_auditor": _RUNS,
    "run_platform": _RUNS,
    "run_worker": _RUNS,
}


def parser_of(name: str) -> ArgumentParser:
    parser: ArgumentParser = load_command_class(COMMANDS[name], name).create_parser("manage.py", name)
    return parser


def test_every_command_of_the_packages_is_found() -> None:
    files = [path for package in PACKAGES for path in (BASE_DIR / package).rglob("management/commands/[!_]*.py")]
    assert set(COMMANDS) == {path.stem for path in files}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_command_and_each_argument_have_help(name: str) -> None:
    parser = parser_of(name)
    assert parser.description
    assert [action.option_strings or action.dest for action in parser._actions if not action.help] == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_command_exits_with_status_0(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        load_command_class(COMMANDS[name], name).run_from_argv(["manage.py", name, "--help"])
    assert exited.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: manage.py {name}")


def test_commands_that_print_facts_print_them_as_json() -> None:
    without = {name for name in COMMANDS if "--json" not in parser_of(name)._option_string_actions}
    assert without == set(NO_FACTS)
