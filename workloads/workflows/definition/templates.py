"""Templates that tenants write: a subset of Jinja2 with bounded output, steps and time.

Constructs that make large values from small ones (calls, macros, concatenation in loops, multiplied texts) are not
supported. Every filter, test, operator and loop pass is charged to one budget of steps, time and size, and the time of
each is bounded by the size of its operands, so that rendering always ends. The code is pure, except that it reads a
clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tenants.translation import translate
from workloads.workflows.definition.template_budget import (
    BUDGET,
    RenderBudget,
    TemplateFailedError,
    TemplateRefusedError,
    VariableMissingError,
    check_length,
    check_whole,
)
from workloads.workflows.definition.template_filters import (
    BUILT,
    COUNTED,
    FILTER_NAMES,
    SLICED,
    TEST_NAMES,
    WEIGHED,
    budget_of,
    is_number,
    make_filters,
    make_tests,
)

MAX_SOURCE_CHARACTERS: Final = 64_000
# Nesting of filters, sums and blocks: far more than real templates have, far less than the stack allows.
MAX_DEPTH: Final = 60
MAX_LOOPS: Final = 15
_LANGUAGE: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.For,
    nodes.If,
    nodes.Assign,
    nodes.CondExpr,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Filter,
    nodes.Keyword,
    nodes.Test,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Pos,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
)


class _Missing(StrictUndefined):
    """Undefined value whose attributes are undefined too, so that ``| default`` covers the whole path."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "%", "-", "/", "//"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        budget = budget_of(context)
        if operator == "+" and isinstance(left, str | list) and isinstance(right, str | list):
            check_length(len(left) + len(right))
        elif not (is_number(left) and is_number(right)):
            raise TemplateFailedError(
                translate(
                    "%(operator)s takes two numbers; + also takes two texts or two lists.", {"operator": operator}
                )
            )
        answer = super().call_binop(context, operator, left, right)
        budget.make(answer)
        if isinstance(answer, list):
            check_whole(answer)
        return answer

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, _Missing):
            return obj
        # A JSON object has fields and no methods: a field may be called `items`.
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        # Data only: the fields of objects are items, `loop` has its counters.
        return not attr.startswith("_") and not callable(value) and super().is_safe_attribute(obj, attr, value)


def parse_template(source: str) -> nodes.Template:
    """Return the syntax tree of a template; raise `TemplateRefusedError`, or Jinja's TemplateSyntaxError."""
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise TemplateRefusedError(
            translate("The template has more than %(limit)s characters.", {"limit": f"{MAX_SOURCE_CHARACTERS:,}"})
        )
    try:
        tree = _ENVIRONMENT.parse(source)
    except RecursionError:
        raise TemplateRefusedError(translate("The template is nested too deeply.")) from None
    pending: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while pending:
        node, depth, loops = pending.pop()
        loops += isinstance(node, nodes.For)
        if depth > MAX_DEPTH or loops > MAX_LOOPS:
            limits = {"line": node.lineno, "limit": MAX_DEPTH, "loops": MAX_LOOPS}
            text = "Line %(line)s: operations are nested more than %(limit)s deep, or loops more than %(loops)s deep."
            raise TemplateRefusedError(translate(text, limits))
        _check_language(node)
        pending.extend((child, depth + 1, loops) for child in node.iter_child_nodes())
    return tree


def _check_language(node: nodes.Node) -> None:
    line: dict[str, Any] = {"line": node.lineno}
    if not isinstance(node, _LANGUAGE):
        named = line | {"name": _name_of(node)}
        raise TemplateRefusedError(translate("Line %(line)s: %(name)s is not part of the language.", named))
    if isinstance(node, nodes.Filter) and node.name not in FILTER_NAMES:
        raise TemplateRefusedError(translate("Line %(line)s: there is no filter %(name)r.", line | {"name": node.name}))
    if isinstance(node, nodes.Test) and node.name not in TEST_NAMES:
        raise TemplateRefusedError(translate("Line %(line)s: there is no test %(name)r.", line | {"name": node.name}))
    if isinstance(node, nodes.Name) and node.name.startswith("_"):
        raise TemplateRefusedError(translate("Line %(line)s: a name must not begin with an underscore.", line))
    if isinstance(node, nodes.For) and node.recursive:
        raise TemplateRefusedError(translate("Line %(line)s: a recursive loop is not part of the language.", line))


def render_template(source: str, variables: Mapping[str, Any]) -> str:
    """Return the text of a template rendered with the variables.

    Raise `VariableMissingError` for a variable that does not exist, `TemplateFailedError` if it fails otherwise.
    """
    budget = RenderBudget()
    parts: list[str] = []
    length = 0
    try:
        for part in _compiled(source).generate(**{**variables, BUDGET: budget}):
            length += len(part)
            check_length(length)
            budget.spend(len(part))
            parts.append(part)
    except (TemplateFailedError, TemplateRefusedError) as error:
        raise TemplateFailedError(str(error)) from error
    except UndefinedError as error:
        raise VariableMissingError(str(error)) from error
    except SecurityError as error:
        raise TemplateFailedError(translate("Not allowed: %(error)s", {"error": error})) from error
    except (
        TemplateError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
        AttributeError,
    ) as error:
        raise TemplateFailedError(str(error) or type(error).__name__) from error
    return "".join(parts)


@lru_cache(maxsize=256)
def _compiled(source: str) -> Any:
    """Return the compiled template, in whose tree each operation charges the budget of a rendering."""
    try:
        return _ENVIRONMENT.from_string(cast("nodes.Template", _charged(parse_template(source))))
    except (SyntaxError, RecursionError, MemoryError):
        # Raised by Python's own compiler.
        raise TemplateRefusedError(translate("The template is nested too deeply.")) from None


def _charged(node: nodes.Node) -> nodes.Node:
    """Wrap in filters every node below that takes time or creates values and is not itself a filter."""
    for name, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            setattr(node, name, _charged(value))
        elif isinstance(value, list):
            setattr(node, name, [_charged(item) if isinstance(item, nodes.Node) else item for item in value])
    match node:
        case nodes.List() | nodes.Dict() | nodes.Tuple(ctx="load"):
            return _filtered(node, BUILT)
        case nodes.For():
            node.iter = _filtered(node.iter, COUNTED)
        case nodes.Compare() | nodes.Operand():
            node.expr = _filtered(node.expr, WEIGHED)
        case nodes.Getitem(arg=nodes.Slice()):
            node.node = _filtered(node.node, SLICED)
    return node


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(cast("nodes.Expr", node), name, [], [], None, None, lineno=node.lineno)


def _name_of(node: nodes.Node) -> str:
    return {"Call": translate("a call"), "Concat": "~", "Pow": "**", "AssignBlock": translate("a set block")}.get(
        type(node).__name__, type(node).__name__
    )


def _make_environment() -> _Environment:
    # Without the optimizer, nothing is evaluated at compile time, where no budget applies.
    environment = _Environment(undefined=_Missing, autoescape=False, keep_trailing_newline=True, optimized=False)
    environment.filters = dict(make_filters())
    environment.tests = dict(make_tests())
    environment.globals = {}
    return environment


_ENVIRONMENT: Final = _make_environment()
