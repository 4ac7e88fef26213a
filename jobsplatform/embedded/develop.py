"""Start of a platform for development: migrates, creates an administrator, runs the platform.

It runs under `python -m jobsplatform.embedded run --keep DIR`, which `make dev` does.
"""

import os
import secrets
import shlex
import sys
from pathlib import Path

import django
from django.core.management import execute_from_command_line

from jobsplatform.embedded.master_key import provide_master_key
from tenants.audit.signing import public_key_text
from tenants.database.platform_settings import platform_settings

ADMINISTRATOR = "admin"
VARIABLE_FOLDER = Path(__file__).resolve().parent.parent.parent / "var"
MASTER_KEY = VARIABLE_FOLDER / "master-key"
SERVER_VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "ENCRYPTION_MASTER_KEYS")


def main(arguments: list[str]) -> None:
    """Prepare the database, print the log-in, and replace this process by `manage.py run_platform ARGUMENTS`."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")
    provide_master_key(MASTER_KEY)
    django.setup()
    execute_from_command_line(["manage.py", "migrate", "--no-input", "--verbosity", "0"])
    password = ensure_administrator(VARIABLE_FOLDER / "admin-password")
    sys.stdout.write(f"Console log-in: {ADMINISTRATOR} / {password}   (stored in var/admin-password)\n")
    environment = write_environment(VARIABLE_FOLDER / "dev.env")
    sys.stdout.write(f"For manage.py in another shell:  set -a; . {environment}; set +a\n")
    sys.stdout.flush()
    manage = VARIABLE_FOLDER.parent / "manage.py"
    # exec, so that the supervisor receives the launcher's signals.
    os.execv(sys.executable, [sys.executable, str(manage), "run_platform", *arguments])  # noqa: S606 - no shell wanted


def write_environment(target: Path) -> Path:
    """Write the servers' URLs and the master key to a file as shell assignments; return its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    # Verification of the audit log elsewhere needs the public key of the key that signs it here.
    values = {name: os.environ[name] for name in SERVER_VARIABLES if name in os.environ}
    values["AUDIT_PUBLIC_KEYS"] = ",".join({*platform_settings.AUDIT_PUBLIC_KEYS, public_key_text()})
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in values.items()]
    target.write_text("".join(lines))
    return target


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


if __name__ == "__main__":
    main(sys.argv[1:])
