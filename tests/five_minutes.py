"""The first hour of a stranger: `make dev` on a fresh copy of the tree, and README.md's block pasted into a shell.

    python -m tests.five_minutes

The exit status is 0 if every command of the block succeeds, its search finds something, and all processes stop.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from jobsplatform.embedded.supervision import PortTakenError, require_free

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^## Five minutes\n.*?^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
START_SECONDS, BLOCK_SECONDS, STOP_SECONDS = 300.0, 300.0, 60.0
POLL_SECONDS = 0.2
# The variables that a stranger does not have.
SERVER_VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "CACHE_URL", "SECRET_KEY", "FILES_ROOT")
READY = "Press Ctrl-C to stop."


def read_block() -> str:
    """Return the commands of README.md's five minutes."""
    found = BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8"))
    if found is None:
        raise LookupError("README.md has no block of commands under “Five minutes”.")
    return found[1]


def main() -> int:
    """Run everything in a temporary folder, print the durations; return the exit status."""
    environment = {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES}
    with tempfile.TemporaryDirectory(prefix="five-minutes-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the servers run as another user if this one is root
        copy_tree(folder)
        began = time.monotonic()
        with running_dev(folder, environment) as bind:
            say(f"make dev is ready after {time.monotonic() - began:.0f} s")
            began = time.monotonic()
            output = run_block(folder, environment)
            say(f"README.md's block took {time.monotonic() - began:.0f} s")
            judge(output, bind)
    return 0


def copy_tree(folder: Path) -> None:
    """Copy the files that git knows, and link the virtual environment."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    (folder / ".venv").symlink_to((ROOT / ".venv").resolve())


@contextmanager
def running_dev(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run `make dev`; yield its address when its box is printed, and stop it after the block."""
    bind = f"127.0.0.1:{free_base_port()}"
    log = folder / "make-dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "dev", f"BIND={bind}"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while READY not in log.read_text(encoding="utf-8"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"make dev did not start:\n{log.read_text(encoding='utf-8')}")
            time.sleep(POLL_SECONDS)
        say(log.read_text(encoding="utf-8"))
        yield bind
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop `make dev` as Ctrl-C does, and wait until no process of it is left."""
    deadline = time.monotonic() + STOP_SECONDS
    os.killpg(process.pid, signal.SIGINT)
    while is_group_alive(process):
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise SystemExit(f"make dev did not stop within {STOP_SECONDS} s.")
        time.sleep(POLL_SECONDS)


def is_group_alive(process: subprocess.Popen[bytes]) -> bool:
    """Return whether any process of the group of `make dev` runs."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def free_base_port() -> int:
    """Return a port that is free with the next three."""
    for base in range(18_000, 32_000, 4):
        try:
            for port in range(base, base + 4):
                require_free("127.0.0.1", port)
        except PortTakenError:
            continue
        return base
    raise LookupError("There are no four free ports in a row.")


def run_block(folder: Path, environment: dict[str, str]) -> str:
    """Run the block in a new shell that stops at the first failure; return its standard output."""
    ran = subprocess.run(
        ["bash", "-e", "-c", read_block()],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=BLOCK_SECONDS,
        check=False,
    )
    if ran.returncode != 0:
        log = folder / "var" / "dev.log"
        tail = log.read_text(encoding="utf-8", errors="replace")[-4_000:]
        raise SystemExit(f"The block ended with status {ran.returncode}:\n{ran.stdout}\n{tail}")
    return ran.stdout


def judge(output: str, bind: str) -> None:
    """Fail unless the job completed, the search found passages, and the console answers."""
    lines = output.rstrip().splitlines()
    say(output[-2_000:])
    assert any(line.endswith(" completed") for line in lines), "the job has not completed"
    assert '{"slept_seconds": 2.0}' in lines, "the result of the job is missing"
    assert json.loads(lines[-1])["results"], "the search has found nothing"
    with urlopen(f"http://{bind}/admin/login/", timeout=10) as page:
        assert page.status == 200, "the console does not answer"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
