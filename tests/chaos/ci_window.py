"""Selection of the rows that CI runs: a window over the table that moves with the number of commits."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.row import Row

# Number of commits that moves the window by its own width: about as many as one change set has.
COMMITS_A_WINDOW = 40
DAY_SECONDS = 86_400
ROOT = Path(__file__).resolve().parents[2]


def count_commits(root: Path = ROOT) -> int:
    """Return the number of commits; without the whole history, one window more each day."""
    is_shallow = _ask_git(root, "rev-parse", "--is-shallow-repository") != "false"
    found = "" if is_shallow else _ask_git(root, "rev-list", "--count", "HEAD")
    return int(found) if found.isdigit() else int(time.time() // DAY_SECONDS) * COMMITS_A_WINDOW


def choose_slice(rows: Mapping[str, type[Row]], *, size: int, commits: int) -> list[str]:
    """Return ``size`` neighbours of all rows in a circle, from a place that ``commits`` determines."""
    circle = arrange(rows, size=size)
    first = commits * size // COMMITS_A_WINDOW
    return [circle[(first + number) % len(circle)] for number in range(min(size, len(circle)))]


def arrange(rows: Mapping[str, type[Row]], *, size: int) -> list[str]:
    """Return all rows in an order in which each window has its part of the long ones."""
    longest_first = sorted(rows, key=lambda name: (not rows[name].is_alone, -rows[name].minutes, name))
    windows = -(-len(longest_first) // size)
    return [name for window in range(windows) for name in longest_first[window::windows]]


def _ask_git(root: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
