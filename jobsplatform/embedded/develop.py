"""Platform for development: migrates, creates an administrator, and runs all processes until Ctrl-C.

It runs under `python -m jobsplatform.embedded run --keep DIR`, which `make dev` does.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import django
from django.core.management import execute_from_command_line

from jobsplatform.embedded.master_key import provide_master_key
from jobsplatform.embedded.supervision import PortTakenError, require_free
from tenants.audit.signing import public_key_text
from tenants.database.platform_settings import platform_settings
from tenants.url_prefixes import API_V1_PREFIX, CONSOLE_PREFIX

ADMINISTRATOR = "admin"
VARIABLE_FOLDER = Path(__file__).resolve().parent.parent.parent / "var"
MASTER_KEY = VARIABLE_FOLDER / "master-key"
LOG = VARIABLE_FOLDER / "dev.log"
SERVER_VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_MASTER_KEYS")


def main(arguments: Sequence[str] | None = None) -> int:
    """Start everything, print a line for each step and then the addresses, and run until a signal; return the status.

    The status is 1 if an address is taken or a process does not start.
    """
    parser = ArgumentParser(prog="python -m jobsplatform.embedded.develop", description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1:8000", help="address of the web server; streams get the next port")
    bind = parser.parse_args(arguments).bind
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    provide_master_key(MASTER_KEY)
    django.setup()
    # Here and below: after django.setup(), because they import models.
    from jobsplatform.demo.processes import PlatformFailedError

    try:
        _run(bind)
    except KeyboardInterrupt:
        _print("Stopped.")
    except (PortTakenError, PlatformFailedError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _run(bind: str) -> None:
    from jobsplatform.demo.processes import running_platform
    from jobsplatform.demo.stand_in_model import URL_VARIABLE, some_model
    from scheduling.management.commands.run_platform import next_address

    streams = next_address(bind)
    for address in (bind, streams):
        host, _, port = address.rpartition(":")
        require_free(host, int(port))
    _print("Migrating the database, which takes half a minute the first time")
    execute_from_command_line(["manage.py", "migrate", "--no-input", "--verbosity", "0"])
    password = ensure_administrator(VARIABLE_FOLDER / "admin-password")
    _print("Starting web, streams, dispatcher, auditor, workers and beat")
    note = "" if os.environ.get(URL_VARIABLE) else f", which repeats its input; {URL_VARIABLE} sets a real model"
    with some_model() as model, running_platform(LOG, bind=bind) as platform:
        write_environment(VARIABLE_FOLDER / "dev.env", API=_api(bind), STREAMS=_api(streams))
        _print(f"{describe(bind, streams, password, model + note)}\nPress Ctrl-C to stop.")
        platform.wait()
        platform.require_alive()


def describe(bind: str, streams: str, password: str, model: str) -> str:
    """Return a box with the addresses, the administrator's account and the next command."""
    lines = [
        f"Console  http://{bind}{CONSOLE_PREFIX}   user {ADMINISTRATOR}   password {password}",
        f"API      {_api(bind)}/docs/",
        f"Streams  {_api(streams)}/jobs/stream/",
        f"Model    {model}",
        f"Log      tail -f {LOG.relative_to(VARIABLE_FOLDER.parent)}",
        "Next     in another shell: . .venv/bin/activate; set -a; . var/dev.env; set +a",
        "         python manage.py create_tenant acme --plan team",
    ]
    width = max(map(len, lines))
    rule = "─" * (width + 2)
    return "\n".join([f"┌{rule}┐", *(f"│ {line:{width}} │" for line in lines), f"└{rule}┘"])


def write_environment(target: Path, **addresses: str) -> None:
    """Write the servers' URLs, the keys and the given addresses to a file as shell assignments."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    # Verification of the audit log elsewhere needs the public key of the key that signs it here.
    values = {name: os.environ[name] for name in SERVER_VARIABLES if name in os.environ}
    values["AUDIT_PUBLIC_KEYS"] = ",".join({*platform_settings.AUDIT_PUBLIC_KEYS, public_key_text()})
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in (values | addresses).items()]
    target.write_text("".join(lines))


def ensure_administrator(kept: Path) -> str:
    """Return the administrator's password from the file; create the file and the account if they do not exist."""
    from django.contrib.auth import get_user_model

    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_urlsafe(12))
    password = kept.read_text().strip()
    users = get_user_model()._default_manager
    user = users.filter(username=ADMINISTRATOR).first()
    if user is None:
        user = users.model(username=ADMINISTRATOR, is_superuser=True)
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    return password


def _api(address: str) -> str:
    return f"http://{address}{API_V1_PREFIX.rstrip('/')}"


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
