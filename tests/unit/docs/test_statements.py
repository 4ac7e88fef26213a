"""Verifiable statements of the documentation: the map of the source design, the layers, the version of the kit."""

from __future__ import annotations

import re
from collections import Counter

from jobsplatform.settings.env import BASE_DIR
from scheduling.kit.base import KIT_VERSION

DOCS = BASE_DIR / "docs"
STATES = ("whole", "partly", "not built", "different")
MAP = (DOCS / "reference" / "seed_map.md").read_text()
ROW = re.compile(r"^\| (\d+) \| .+? \| (whole|partly|not built|different) \| .*\|$", re.MULTILINE)


def test_map_has_each_of_the_136_rows_once() -> None:
    assert [int(number) for number, _ in ROW.findall(MAP)] == list(range(1, 137))


def test_totals_of_the_map_are_the_counts_of_its_rows() -> None:
    counted = Counter(state for _, state in ROW.findall(MAP))
    [totals] = re.findall(r"^\| all \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", MAP, re.MULTILINE)
    assert tuple(map(int, totals)) == tuple(counted[state] for state in STATES)


def test_sections_of_the_map_add_up() -> None:
    summary = {name: tuple(map(int, numbers.split(" | "))) for name, numbers in _summary()}
    sections = re.split(r"^## ", MAP, flags=re.MULTILINE)[1:]
    counted = {
        part.splitlines()[0]: tuple(Counter(state for _, state in ROW.findall(part))[name] for name in STATES)
        for part in sections
    }
    assert counted == summary


def test_paths_of_the_map_exist() -> None:
    paths = set(re.findall(r"`([a-z_]+/[\w/.]*|[a-z_]+\.py)`", MAP))
    roots = (BASE_DIR, BASE_DIR / "scheduling", BASE_DIR / "workloads")
    assert [path for path in sorted(paths) if not any((root / path).exists() for root in roots)] == []


def test_paths_in_contributing_exist() -> None:
    page = (BASE_DIR / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"`((?:scheduling|tenants|workloads|jobsplatform|tests|docs|tools)/[\w./-]*)`", page))
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not (BASE_DIR / path).exists()] == []


def test_tables_of_packages_name_every_folder() -> None:
    page = (DOCS / "concepts" / "architecture.md").read_text()
    table = page[page.index("## Packages") : page.index("## Source of truth")]
    folders = {path.parent.name for path in (BASE_DIR / "scheduling").glob("*/__init__.py")}
    assert sorted(name for name in folders - {"management", "migrations"} if f"`{name}/`" not in table) == []


def test_version_of_the_kit_stands_in_its_page() -> None:
    page = (DOCS / "how-to" / "writing_processors.md").read_text()
    assert f"`KIT_VERSION` is its version, `{KIT_VERSION}` now." in page


def test_every_table_of_the_configuration_has_a_header() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    tables = [block for block in re.split(r"\n\s*\n|^#.*$", page, flags=re.MULTILINE) if block.strip().startswith("|")]
    assert tables
    assert [table.strip().splitlines()[0] for table in tables if "\n|---" not in table] == []


def _summary() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| (.+?) \| (\d+ \| \d+ \| \d+ \| \d+) \|$", MAP, re.MULTILINE)
    return [(name, numbers) for name, numbers in rows if name != "all"]
