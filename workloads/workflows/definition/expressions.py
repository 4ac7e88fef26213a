"""Expressions by which a node reads the outputs of other nodes: a reference, a template or a constant.

A reference is a dotted path, such as ``nodes.ask.text`` or ``inputs.question``. Inside an iteration, ``item`` and
``index`` are the current element and its number; inside a loop, ``previous`` and ``index`` are the output of the round
before and the number of this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from jinja2 import TemplateSyntaxError, nodes

from tenants.translation import translate
from workloads.workflows.definition.template_budget import TemplateRefusedError
from workloads.workflows.definition.templates import parse_template

REFERENCE: Final = r"(inputs|nodes|item|index|previous)(\.[A-Za-z0-9_-]{1,100}){0,20}"
_REFERENCE: Final = re.compile(REFERENCE)
ROOTS: Final = frozenset({"inputs", "nodes", "item", "index", "previous"})

type Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """A part of a node's config that reads variables; ``pointer`` is its position within the config."""

    pointer: str
    kind: Literal["template", "reference"]
    text: str


class ExpressionInvalidError(Exception):
    """Raised if a template or reference cannot be parsed; the message is the reason."""


def of_value(pointer: str, value: Any) -> Iterator[Expression]:
    """Yield the expression in a config value, if it has the form ``{"ref": …}`` or ``{"template": …}``."""
    if not isinstance(value, Mapping):
        return
    if isinstance(value.get("ref"), str):
        yield Expression(f"{pointer}/ref", "reference", value["ref"])
    if isinstance(value.get("template"), str):
        yield Expression(f"{pointer}/template", "template", value["template"])


def paths_in(expression: Expression) -> list[Path]:
    """Return the variables that an expression reads, each as the names of its path, such as ``("inputs", "city")``.

    Only the constant part of a path is returned. Raise `ExpressionInvalidError` if the expression cannot be parsed.
    """
    if expression.kind == "reference":
        if not _REFERENCE.fullmatch(expression.text):
            raise ExpressionInvalidError(
                translate("A reference must be a dotted path that begins with inputs, nodes, item, index or previous.")
            )
        return [tuple(expression.text.split("."))]
    try:
        tree = parse_template(expression.text)
    except TemplateSyntaxError as error:
        # Jinja's own messages are English.
        values = {"line": error.lineno, "message": error.message}
        raise ExpressionInvalidError(translate("Line %(line)s: %(message)s", values)) from error
    except TemplateRefusedError as error:
        raise ExpressionInvalidError(str(error)) from error
    return list(_paths_below(tree, frozenset()))


def _paths_below(node: nodes.Node, bound: frozenset[str]) -> Iterator[Path]:
    """Yield every variable below a node, except the names ``bound`` by the template itself."""
    path = _path_of(node)
    if path is not None:
        if path[0] not in bound:
            yield path
        return
    if isinstance(node, nodes.For):
        yield from _paths_below(node.iter, bound)
        inner = bound | {"loop", *_names_bound_by([node.target])}
        # A variable set in a loop's body is visible only there.
        inner |= _names_bound_by(node.body)
        for part in [*node.body, *node.else_, *([node.test] if node.test is not None else [])]:
            yield from _paths_below(part, inner)
        return
    bound |= _names_bound_by(node.iter_child_nodes())
    for child in node.iter_child_nodes():
        yield from _paths_below(child, bound)


def _path_of(node: nodes.Node) -> Path | None:
    """Return ``nodes.ask.text`` as its names; None if the node is not a path of constants."""
    names: list[str] = []
    while True:
        if isinstance(node, nodes.Getattr):
            names.append(node.attr)
            node = node.node
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            names.append(str(node.arg.value))
            node = node.node
        elif isinstance(node, nodes.Name) and node.ctx == "load":
            return (node.name, *reversed(names))
        else:
            return None


def _names_bound_by(parts: Iterator[nodes.Node] | Sequence[nodes.Node]) -> set[str]:
    found: set[str] = set()
    for part in parts:
        if isinstance(part, nodes.Assign):
            part = part.target  # noqa: PLW2901 - what it gives a name to
        if isinstance(part, nodes.Name) and part.ctx == "store":
            found.add(part.name)
        elif isinstance(part, nodes.Tuple) and part.ctx == "store":
            found |= _names_bound_by(part.items)
    return found
