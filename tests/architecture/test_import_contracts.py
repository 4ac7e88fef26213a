"""The import contracts are kept, and each detects a breach."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobsplatform.settings.env import BASE_DIR

PACKAGES = ("jobsplatform", "scheduling", "tenants", "workloads")

pytest.importorskip("importlinter", reason="the import linter is in requirements-dev.txt")
pytestmark = pytest.mark.process


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the project in this folder."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_import_contract_holds() -> None:
    linted = lint_imports(BASE_DIR)
    assert linted.returncode == 0, linted.stdout


# A breach each: module, line added to it, beginning of the contract's name.
BREACHES = [
    ("tenants/database/ids.py", "import scheduling.conf", "Imports go down"),
    ("scheduling/jobs/submission.py", "import workloads.documents", "Imports go down"),
    ("workloads/files/store.py", "import workloads.documents", "Workloads import each other downwards only"),
    ("workloads/webhooks/service.py", "import workloads.pipelines", "Workloads import each other downwards only"),
    ("workloads/stray.py", "", "Workloads import each other downwards only"),  # in no layer
    (
        "jobsplatform/urls.py",
        "import workloads.http_call.processor",
        "The site and other workloads name no job kind",
    ),
    ("workloads/diagnostics/apps.py", "import scheduling.models", "A workload uses the kit"),
    ("workloads/diagnostics/processor.py", "import scheduling.jobs.submission", "A processor sees the kit"),
    ("scheduling/kit/base.py", "import scheduling.models", "The kit imports no ORM"),
    ("scheduling/kit/retry.py", "import django.utils.timezone", "The algorithm is pure"),
    ("scheduling/kit/http/targets.py", "import django.conf", "The algorithm is pure"),
    (
        "scheduling/breakers/service.py",
        "import scheduling.breakers.admin",
        "Services, reads and rows import no interface",
    ),
    ("tenants/database/clock.py", "import tenants.context", "The database layer knows no domain"),
    ("scheduling/jobs/submission.py", "import celery", "Celery is spoken by celery, worker and the broker"),
    ("workloads/http_call/processor.py", "import httpx", "Celery is spoken by celery, worker and the broker, HTTP"),
]


def test_breach_of_each_contract_is_found(tmp_path: Path) -> None:
    for package in PACKAGES:
        link_sources(BASE_DIR / package, tmp_path / package)
    (tmp_path / "pyproject.toml").write_text((BASE_DIR / "pyproject.toml").read_text())
    for module, line, _ in BREACHES:
        breached = tmp_path / module
        text = breached.read_text() if breached.exists() else ""
        breached.unlink(missing_ok=True)  # so far a link to the real file
        breached.write_text(f"{text}\n{line}\n")
    printed = lint_imports(tmp_path).stdout
    for module, line, contract in BREACHES:
        broken = re.search(rf"^{re.escape(contract)}.* BROKEN( \(\d+ ignored imports?\))?$", printed, re.MULTILINE)
        assert broken, (contract, printed)
        assert module.removesuffix(".py").replace("/", ".") in report_of(contract, printed), (module, line, printed)


def report_of(contract: str, printed: str) -> str:
    """Return what the linter printed under the title of a broken contract."""
    title = rf"^{re.escape(contract)}[^\n]*\n-+\n\n(.*?)(?=^[A-Z][^\n]+\n-+\n|\Z)"
    return "".join(re.findall(title, printed, re.MULTILINE | re.DOTALL))


def link_sources(source: Path, target: Path) -> None:
    """Create a tree of links to the Python files."""
    for path in source.rglob("*.py"):
        link = target / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
