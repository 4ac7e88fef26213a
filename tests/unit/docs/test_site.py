"""The documentation site has every page in its navigation, and its API reference names modules that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobsplatform.settings.env import BASE_DIR
from tools.documentation_links import replace_outside_links

yaml = pytest.importorskip("yaml", reason="it is in requirements-dev.txt")

DOCS = BASE_DIR / "docs"
TOP = {"alerting.md", "benchmarks.md", "code-metrics.md", "compliance.md", "index.md", "resilience.md"}
KINDS = {"tutorial", "how-to", "concepts", "reference", "decisions"}
KIT = (DOCS / "reference" / "kit.md").read_text()
BLOCK = re.compile(r"^::: (\S+)\n((?: {4}.*\n)*)", re.MULTILINE)


class ConfigLoader(yaml.SafeLoader):
    """Loader of `mkdocs.yml` that reads Python's tags as None."""


ConfigLoader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def config() -> dict[str, Any]:
    return yaml.load((BASE_DIR / "mkdocs.yml").read_text(), Loader=ConfigLoader)


def leaves(nav: Any) -> Iterator[str]:
    """Yield the pages of a navigation in order."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for part in nav.values():
            yield from leaves(part)
    else:
        for part in nav:
            yield from leaves(part)


def documented() -> dict[str, list[str]]:
    """Return the members that the kit's page lists of each module; an empty list is all of them."""
    return {module: re.findall(r"^ +- (\w+)$", options, re.MULTILINE) for module, options in BLOCK.findall(KIT)}


def definitions(module: str) -> set[str]:
    """Return the public names that a module defines itself."""
    source = (BASE_DIR / Path(*module.split("."))).with_suffix(".py").read_text()
    names: set[str] = set()
    for node in ast.parse(source).body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                names.add(node.name)
            case ast.TypeAlias(name=ast.Name(id=name)) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def test_pages_are_in_the_folder_of_their_kind() -> None:
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md")]
    assert {page.parts[0] for page in pages if len(page.parts) > 1} == KINDS
    assert {str(page) for page in pages if len(page.parts) == 1} == TOP


def test_navigation_names_every_page_but_single_decisions_once() -> None:
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    decisions = {page for page in pages if page.startswith("decisions/0")}
    assert sorted(leaves(config()["nav"])) == sorted(pages - decisions)


def test_build_is_strict_about_links_anchors_and_navigation() -> None:
    read = config()
    assert read["strict"] is True
    checked = {**read["validation"]["nav"], **read["validation"]["links"]}
    assert set(checked.values()) == {"warn"}
    assert {"omitted_files", "not_found", "anchors", "unrecognized_links"} <= checked.keys()


def test_api_reference_names_what_the_modules_define() -> None:
    assert {
        f"{module}.{name}" for module, names in documented().items() for name in set(names) - definitions(module)
    } == set()


def test_api_reference_has_every_name_of_the_kit() -> None:
    base = ast.parse((BASE_DIR / "scheduling" / "kit" / "base.py").read_text())
    [exported] = [
        ast.literal_eval(node.value)
        for node in base.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    shown = {name for module, names in documented().items() for name in names or definitions(module)}
    assert sorted(set(exported) - shown) == []


def test_table_of_decisions_has_each_page_with_its_title() -> None:
    pages = {path.name: path.read_text().splitlines()[0] for path in (DOCS / "decisions").glob("0*.md")}
    table = re.findall(
        r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \|$", (DOCS / "decisions" / "README.md").read_text(), re.MULTILINE
    )
    assert {name: f"# {number} {title}" for number, name, title in table} == pages
    assert [number for number, _, _ in table] == sorted(name[:4] for name in pages)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[Limits](../reference/limits.md#rates)", "[Limits](../reference/limits.md#rates)"),
        ("[the results](../../benchmarks/results/)", "the results (`benchmarks/results`)"),
        ("[edges](../../tests/security/attacks/edges.py)", "`tests/security/attacks/edges.py`"),
        ("[site](https://example.com/a)", "[site](https://example.com/a)"),
    ],
)
def test_link_out_of_the_documentation_becomes_a_path(written: str, shown: str) -> None:
    assert replace_outside_links(f"See {written}.", "concepts/threat_model.md") == f"See {shown}."
