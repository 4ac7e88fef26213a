"""Templates of tenants: a small part of Jinja2, whose output, steps and time are bounded.

What could make much of little (calls, macros, concatenation in loops, multiplied texts) is not in the language, and
every value that a template makes is measured. So a template ends, whatever is written in it. Pure but for a clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tenants.texts import said

MAX_SOURCE_CHARACTERS: Final = 64_000
MAX_OUTPUT_CHARACTERS: Final = 512_000
MAX_STEPS: Final = 100_000
MAX_SECONDS: Final = 2.0
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
_COUNTED: Final = "counted"


class TemplateRefusedError(Exception):
    """A template uses what is not in the language, or is too long; its text says what."""


class TemplateFailedError(Exception):
    """A template could not be rendered; its text says why."""


class _Missing(StrictUndefined):
    """What is not there: anything of it is missing too, so that ``| default`` holds for the whole path."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self


class _Budget:
    """What one rendering may still do."""

    def __init__(self) -> None:
        self.steps = 0
        self.ends_at = time.monotonic() + MAX_SECONDS

    def spend(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TemplateFailedError(
                said("The template takes more than %(limit)s steps.", {"limit": f"{MAX_STEPS:,}"})
            )
        if time.monotonic() > self.ends_at:
            raise TemplateFailedError(said("The template takes more than %(limit)s s.", {"limit": f"{MAX_SECONDS:g}"}))


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "%", "-", "/", "//"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str | list) and isinstance(right, str | list):
            _check_length(len(left) + len(right))
        elif not (_is_number(left) and _is_number(right)):
            raise TemplateFailedError(
                said("%(operator)s is between two numbers, or + between two texts or lists.", {"operator": operator})
            )
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        # An object of JSON has fields and no methods: one may be called `items`.
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        # Data and nothing else: the fields of objects are items, `loop` has its counters.
        return not attr.startswith("_") and not callable(value) and super().is_safe_attribute(obj, attr, value)


def parse_template(source: str) -> nodes.Template:
    """The tree of a template; TemplateRefusedError, or Jinja's TemplateSyntaxError."""
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise TemplateRefusedError(
            said("The template has more than %(limit)s characters.", {"limit": f"{MAX_SOURCE_CHARACTERS:,}"})
        )
    try:
        tree = _ENVIRONMENT.parse(source)
    except RecursionError:
        raise TemplateRefusedError(said("The template is nested too deeply.")) from None
    pending: list[nodes.Node] = [tree]
    while pending:
        node = pending.pop()
        line: dict[str, Any] = {"line": node.lineno}
        if not isinstance(node, _LANGUAGE):
            named = line | {"name": _name_of(node)}
            raise TemplateRefusedError(said("Line %(line)s: %(name)s is not part of the language.", named))
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise TemplateRefusedError(said("Line %(line)s: there is no filter %(name)r.", line | {"name": node.name}))
        if isinstance(node, nodes.Test) and node.name not in _TESTS:
            raise TemplateRefusedError(said("Line %(line)s: there is no test %(name)r.", line | {"name": node.name}))
        if isinstance(node, nodes.Name) and node.name.startswith("_"):
            raise TemplateRefusedError(said("Line %(line)s: a name does not begin with an underscore.", line))
        if isinstance(node, nodes.For) and node.recursive:
            raise TemplateRefusedError(said("Line %(line)s: a recursive loop is not part of the language.", line))
        pending.extend(node.iter_child_nodes())
    return tree


def render_template(source: str, variables: Mapping[str, Any]) -> str:
    """The text that a template makes of variables; TemplateFailedError where it makes none."""
    budget = _Budget()
    parts: list[str] = []
    length = 0
    try:
        for part in _compiled(source).generate(**{**variables, "__budget": budget}):
            length += len(part)
            _check_length(length)
            budget.spend()
            parts.append(part)
    except (TemplateFailedError, TemplateRefusedError) as error:
        raise TemplateFailedError(str(error)) from error
    except SecurityError as error:
        raise TemplateFailedError(said("Not allowed: %(error)s", {"error": error})) from error
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
    tree = parse_template(source)
    _count_loops(tree)
    return _ENVIRONMENT.from_string(tree)


def _count_loops(tree: nodes.Template) -> None:
    """Let each turn of each loop, and each filter, be a step."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = nodes.Filter(loop.iter, _COUNTED, [nodes.Name("__budget", "load")], [], None, None)


def _counted(values: Iterable[Any], budget: _Budget) -> Iterator[Any]:
    for value in values:
        budget.spend()
        yield value


def _measured(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose answer is measured, and which takes no text that would grow in it."""

    def measured(*arguments: Any, **options: Any) -> Any:
        answer = function(*arguments, **options)
        if isinstance(answer, str | list | tuple):
            _check_length(len(answer))
        return answer

    return measured


def _join(values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    texts, length = [], 0
    for value in values:
        text = str(value[attribute] if attribute is not None else value)
        length += len(text) + len(separator)
        _check_length(length)
        texts.append(text)
    return separator.join(texts)


def _replace(text: str, old: str, new: str) -> str:
    text = str(text)
    _check_length(len(text) + (text.count(old) if old else len(text) + 1) * max(0, len(new) - len(old)))
    return text.replace(old, new)


def _sum(values: Iterable[Any], attribute: str | None = None) -> float:
    numbers: list[float] = [value[attribute] if attribute is not None else value for value in values]
    if not all(_is_number(number) for number in numbers):
        raise TemplateFailedError(said("sum adds numbers."))
    return sum(numbers)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=min(indent, 8) if indent is not None else None)


def _truncate(text: str, length: int = 255, end: str = "…") -> str:
    return str(text) if len(str(text)) <= length else str(text)[: max(0, length - len(end))] + end


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 2**53


def _check_length(length: int) -> None:
    if length > MAX_OUTPUT_CHARACTERS:
        raise TemplateFailedError(
            said("The template makes more than %(limit)s characters.", {"limit": f"{MAX_OUTPUT_CHARACTERS:,}"})
        )


def _name_of(node: nodes.Node) -> str:
    return {"Call": said("a call"), "Concat": "~", "Pow": "**", "AssignBlock": said("a set block")}.get(
        type(node).__name__, type(node).__name__
    )


# Of Jinja's own filters those that make no more than they are given.
_JINJA_FILTERS: Final = (
    *("abs", "capitalize", "default", "d", "dictsort", "e", "escape", "first", "float", "int", "items", "last"),
    *("length", "count", "list", "lower", "max", "min", "reverse", "round", "sort", "string", "title"),
    *("trim", "unique", "upper", "urlencode", "wordcount"),
)
_TESTS: Final = frozenset(
    {"boolean", "defined", "undefined", "divisibleby", "even", "odd", "false", "true", "float", "integer", "none"}
    | {"number", "string", "mapping", "sequence", "in", "eq", "ne", "lt", "le", "gt", "ge", "iterable"}
)
_OWN_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "join": _join,
    "replace": _replace,
    "tojson": _to_json,
    "truncate": _truncate,
    "sum": _sum,
    "split": lambda text, by=None: str(text).split(by),
}
_FILTERS: Final = frozenset({*_JINJA_FILTERS, *_OWN_FILTERS})


def _make_environment() -> _Environment:
    environment = _Environment(undefined=_Missing, autoescape=False, keep_trailing_newline=True)
    own = {name: _measured(function) for name, function in _OWN_FILTERS.items()}
    environment.filters = {
        **{name: environment.filters[name] for name in _JINJA_FILTERS},
        **own,
        _COUNTED: _counted,
    }
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    environment.globals = {}
    return environment


_ENVIRONMENT: Final = _make_environment()
