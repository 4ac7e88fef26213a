"""Numbers of the code base as a Markdown table: `make code-metrics`.

`python -m tools.code_metrics --against COMMIT` compares with a commit of this repository. Only the standard library is
used. The docstring of each counting function is printed below the table as its rule.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("jobsplatform", "scheduling", "tenants", "workloads")
# Written by tests/integration/api/test_noop_path.py.
NOOP_PATH_FILE = Path("var") / "noop_path.json"
# Written by tests/durations.py.
TEST_SECONDS_FILE = Path("var") / "test_seconds.json"
TIMED_TARGETS = ("unit", "test", "acceptance")
LONG_STATEMENT_LINES = 5

_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
_WAIVER = re.compile(r"#\s*noqa:[^#]*\bSLF001\b")
_ATTRIBUTE_FUNCTIONS = {"getattr", "setattr", "hasattr", "delattr"}
_SQL = re.compile(
    r"\bSELECT\b|\bINSERT INTO \w|\bUPDATE \w+\s[\s\S]*\bSET\b|\bDELETE FROM \w|\bWITH \w+ AS\b|\bSET LOCAL \w"
    r"|\b(?:CREATE|ALTER|DROP|TRUNCATE|LOCK) (?:TABLE|INDEX|POLICY|ROLE|FUNCTION|VIEW|TRIGGER)\b"
)


def product_sources(root: Path, suffix: str = ".py") -> Iterator[tuple[str, str]]:
    """Yield path and text of the product's files that end in ``suffix``, without migrations."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob(f"*{suffix}")):
            name = path.relative_to(root)
            if "migrations" not in name.parts:
                yield str(name), path.read_text(encoding="utf-8")


def code_lines(source: str) -> int:
    """Return the number of lines of a Python text with code, those of string literals included."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for docstring in _docstrings(ast.parse(source)):
        lines.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    texts = source.split("\n")
    return sql_lines("\n".join(texts[number - 1] for number in lines))


def sql_lines(source: str) -> int:
    """Return the number of lines that are neither blank nor an SQL comment."""
    return sum(1 for line in source.split("\n") if line.strip() and not line.lstrip().startswith("--"))


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            value = getattr(node.body[0], "value", None) if isinstance(node.body[0], ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value


def sql_literals(source: str) -> Iterator[str]:
    """Yield the texts of the string literals with SQL; the values in an f-string are omitted."""
    tree = ast.parse(source)
    skipped: set[ast.AST] = set(_docstrings(tree))
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
            text = "{}".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            text = node.value
        if _SQL.search(text):
            yield text


def private_accesses(source: str) -> int:
    """Return the number of lines that waive SLF001 and of calls such as getattr that name a private attribute."""
    named = sum(1 for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and _names_private(node))
    return named + sum(1 for line in source.split("\n") if _WAIVER.search(line))


def _names_private(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Name) or call.func.id not in _ATTRIBUTE_FUNCTIONS or len(call.args) < 2:
        return False
    name = call.args[1].value if isinstance(call.args[1], ast.Constant) else None
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__")


def repeated_class_names(root: Path) -> dict[str, list[str]]:
    """Return the public names that more than one module gives to a class, with those modules."""
    modules: dict[str, list[str]] = defaultdict(list)
    for path, source in product_sources(root):
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name != "Command":
                modules[node.name].append(path)
    return {name: paths for name, paths in sorted(modules.items()) if len(paths) > 1}


def count_noop_path(root: Path) -> Sequence[int]:
    """Count the Python files with a function that one warm no-op job calls from its POST until it is folded."""
    path = root / NOOP_PATH_FILE
    return [json.loads(path.read_text(encoding="utf-8"))["files"]] if path.exists() else []


def count_product_lines(root: Path) -> Sequence[int]:
    """Count the lines of `.py` and `.sql` without migrations, docstrings, comments, blank lines, tests and tools."""
    python = sum(code_lines(source) for _, source in product_sources(root))
    return [python + sum(sql_lines(source) for _, source in product_sources(root, ".sql"))]


def count_migrations(root: Path) -> Sequence[int]:
    """Count the numbered files in folders named `migrations`, and these folders."""
    found = [path for package in PACKAGES for path in (root / package).rglob("migrations/[0-9]*.py")]
    return [len(found), len({path.parent for path in found})]


def count_private(root: Path) -> Sequence[int]:
    """Count lines that waive SLF001 and calls of getattr and similar functions with a literal private name."""
    return [sum(private_accesses(source) for _, source in product_sources(root))]


def count_sql(root: Path) -> Sequence[int]:
    """Count the string literals with a clause of SQL in capitals, without migrations and docstrings."""
    texts = [text for _, source in product_sources(root) for text in sql_literals(source)]
    return [len(texts), sum(1 for text in texts if sql_lines(text) > LONG_STATEMENT_LINES)]


def count_contract_lines(root: Path) -> Sequence[int]:
    """Count the lines of `tool.importlinter` in pyproject.toml without blank lines and comments."""
    count, is_inside = 0, False
    for line in (root / "pyproject.toml").read_text(encoding="utf-8").split("\n"):
        if line.startswith("["):
            is_inside = line.strip("[]").startswith("tool.importlinter")
        count += is_inside and bool(line.strip()) and not line.lstrip().startswith("#")
    return [count]


def count_class_names(root: Path) -> Sequence[int]:
    """Count the names that several modules give to a class at their top level, without Django's `Command`."""
    return [len(repeated_class_names(root))]


def count_benchmarks(root: Path) -> Sequence[int]:
    """Count all lines of the `.py` files in `benchmarks`."""
    return [sum(path.read_text(encoding="utf-8").count("\n") for path in (root / "benchmarks").rglob("*.py"))]


def count_test_seconds(root: Path) -> Sequence[int]:
    """Read the seconds of the last whole run of each target that passed; none until all three have run."""
    path = root / TEST_SECONDS_FILE
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return [found[target] for target in TIMED_TARGETS] if found.keys() >= set(TIMED_TARGETS) else []


METRICS: tuple[tuple[str, str, Callable[[Path], Sequence[int]]], ...] = (
    ("project files that a warm no-op job passes", "≤ 45", count_noop_path),
    ("product lines", "≤ 0.92×", count_product_lines),
    ("migrations / apps with migrations", "one an app", count_migrations),
    ("accesses to private attributes of libraries", "≤ 4", count_private),
    (f"SQL statements in Python / longer than {LONG_STATEMENT_LINES} lines", "≤ 60 / 0", count_sql),
    ("lines of import contracts", "≤ 80", count_contract_lines),
    ("public class names used more than once", "≤ 5", count_class_names),
    ("lines of benchmarks", "≤ 5,000", count_benchmarks),
    ("seconds of make unit / make test / make acceptance", "≤ 60 / ≤ 720 / –", count_test_seconds),
)


def render(now: Path, before: Path | None = None, commit: str = "") -> str:
    """Return the table of a folder in Markdown, beside the numbers of another one if that is given."""
    folders, heads = ([now], ["now"]) if before is None else ([before, now], [commit, "now", "ratio"])
    lines = [f"| number | {' | '.join(heads)} | target |", "|---" * (len(heads) + 2) + "|"]
    for name, target, count in METRICS:
        found = [count(folder) for folder in folders]
        cells = [" / ".join(f"{number:,}" for number in numbers) or "not measured" for numbers in found]
        if before is not None:
            cells.append(f"{found[1][0] / found[0][0]:.2f}×" if all(found) and found[0][0] else "–")
        lines.append("| " + " | ".join([name, *cells, target]) + " |")
    return "\n".join([*lines, "", *(f"- **{name}**: {count.__doc__}" for name, _, count in METRICS)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Print numbers of the code base as a Markdown table.")
    parser.add_argument("--against", metavar="COMMIT", help="compare with this commit of the repository")
    commit = parser.parse_args().against
    if commit is None:
        sys.stdout.write(f"{render(ROOT)}\n")
        return
    packed = subprocess.run(["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True)  # noqa: S607
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
        sys.stdout.write(f"{render(ROOT, Path(folder), commit)}\n")


if __name__ == "__main__":
    main()
