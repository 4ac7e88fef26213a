"""Syntax trees of sources, each parsed and walked once in a test process."""

from __future__ import annotations

import ast
from functools import cache


@cache
def parse(source: str) -> ast.Module:
    """Return the tree of a source. It is shared: do not change it."""
    return ast.parse(source)


@cache
def nodes_of(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Return all nodes of a tree, as `ast.walk` yields them."""
    return tuple(ast.walk(tree))
