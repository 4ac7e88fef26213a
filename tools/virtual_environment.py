"""The set-up of the virtual environment, which installs what is missing. Standard library only: it runs first.

    python tools/virtual_environment.py .venv requirements.txt [MORE_REQUIREMENTS…]

Safe to run concurrently (the second waits), cheap to repeat (a hash shows whether a file has changed).
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

MINIMUM = (3, 12)
# The installed files by name and hash; also the mark of an environment that was created here.
RECORD = "installed.json"


def main(arguments: list[str]) -> int:
    """Bring the environment up to date; return 0, or 1 after naming the cure."""
    environment = Path(arguments[0])
    requirements = [Path(name) for name in arguments[1:]]
    if sys.version_info < MINIMUM:
        return _fail(f"Python {MINIMUM[0]}.{MINIMUM[1]} or newer is required; this is {sys.version.split()[0]}.")
    # Beside the environment, not in it: the environment may have to be recreated.
    with Path(f"{environment}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another make is preparing the virtual environment; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_usable(environment) and not _make(environment):
            return 1
        return _install(environment, requirements)


def _is_usable(environment: Path) -> bool:
    """Return whether the environment's Python runs, is of this very version and has pip."""
    probe = "import pip, sys; print(sys.version)"
    try:
        ran = subprocess.run(
            [str(environment / "bin" / "python"), "-c", probe], capture_output=True, text=True, check=False
        )
    except OSError:
        return False
    return ran.returncode == 0 and ran.stdout.strip() == sys.version


def _make(environment: Path) -> bool:
    """Create the environment again; if this Python cannot, print the command that fixes it."""
    if environment.exists() and not (environment / RECORD).exists():
        # It may be a developer's own environment, or any folder: only what was created here is replaced.
        _fail(f"{environment} was not created by make and cannot be used. Remove it, or name another: make VENV=…")
        return False
    _say(f"Creating {environment} with Python {sys.version.split()[0]}")
    if environment.exists():
        shutil.rmtree(environment)
    made = subprocess.run([sys.executable, "-m", "venv", str(environment)], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        (environment / RECORD).write_text("{}")
        return True
    shutil.rmtree(environment, ignore_errors=True)
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    _fail(
        f"{sys.executable} cannot create virtual environments. Cure:\n\n    apt-get install {package}      "
        "(with sudo, unless you are root)\n\nor, on other systems, install Python's venv and ensurepip "
        f"modules.\nOutput: {(made.stderr or made.stdout).strip()}"
    )
    return False


def _install(environment: Path, requirements: list[Path]) -> int:
    """Install the files whose content has changed since they were last installed."""
    record = environment / RECORD
    installed = json.loads(record.read_text()) if record.exists() else {}
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in requirements}
    changed = [path for path in requirements if installed.get(path.name) != hashes[path.name]]
    if not changed:
        return 0
    _say(f"Installing {', '.join(path.name for path in changed)}")
    command = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for path in changed:
        command += ["-r", str(path)]
    # As root pip warns that it is not in a virtual environment, though it is.
    if subprocess.run([*command, "--root-user-action=ignore"], check=False).returncode != 0:
        return _fail("The installation failed; see the lines above. Run make again; incomplete steps are repeated.")
    record.write_text(json.dumps(installed | hashes, indent=2))
    return 0


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def _fail(message: str) -> int:
    _say(message)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
