"""Filters and tests of templates. Each charges the budget of the rendering for its operands and its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Final

from jinja2 import pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.tests import TESTS

from tenants.translation import translate
from workloads.workflows.definition.template_budget import (
    BUDGET,
    RenderBudget,
    TemplateFailedError,
    check_length,
    check_whole,
    size_of,
)

# Filters that the compiler of templates inserts, under names that no source can contain.
COUNTED: Final = "__counted"
WEIGHED: Final = "__weighed"
SLICED: Final = "__sliced"
BUILT: Final = "__built"
MAX_PRECISION: Final = 15
MAX_TRIMMED_CHARACTERS: Final = 100
MAX_ATTRIBUTE_PARTS: Final = 10
# Share of a step's size that one attribute part costs per element.
_SIZE_OF_LOOKUP: Final = 100


def budget_of(context: Context) -> RenderBudget:
    """Return the budget of the rendering that the Jinja context belongs to."""
    budget: RenderBudget = context[BUDGET]
    return budget


def is_number(value: Any) -> bool:
    """Return whether the value is a number that arithmetic in templates accepts: its absolute value is below 2**53."""
    return isinstance(value, int | float) and abs(value) < 2**53


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter or test that charges the budget and returns a complete value, never an iterator.

    It takes the context, so that Jinja never runs it at compile time.
    """
    passed = getattr(getattr(function, "jinja_pass_arg", None), "name", "")

    @pass_context
    @wraps(function, updated=())
    def charged(context: Context, *arguments: Any, **options: Any) -> Any:
        budget = budget_of(context)
        budget.spend(sum(size_of(argument) for argument in (*arguments, *options.values())))
        if function in _BY_ATTRIBUTE and arguments:
            parts = max(_parts_of(name) for name in (0, *arguments[1:], *options.values()))
            budget.spend(size_of(arguments[0]) * parts * _SIZE_OF_LOOKUP)
        own = {"environment": (context.environment,), "eval_context": (context.eval_ctx,)}.get(passed, ())
        answer = function(*own, *arguments, **options)
        if isinstance(answer, Iterator):
            answer = list(answer)
        budget.make(answer)
        return answer

    return charged


def _parts_of(attribute: Any) -> int:
    """Return the number of lookups of an attribute per element: one per part between points or commas."""
    parts = attribute.count(".") + attribute.count(",") + 1 if isinstance(attribute, str) else 0
    if parts > MAX_ATTRIBUTE_PARTS:
        raise TemplateFailedError(
            translate("An attribute has at most %(limit)s parts.", {"limit": MAX_ATTRIBUTE_PARTS})
        )
    return parts


@pass_context
def _counted(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    """Yield the elements of a loop, each a step."""
    budget = budget_of(context)
    for value in values:
        budget.spend()
        yield value


@pass_context
def _weighed(context: Context, value: Any) -> Any:
    """Return the operand of a comparison after charging its size."""
    budget_of(context).spend(size_of(value))
    return value


@pass_context
def _sliced(context: Context, value: Any) -> Any:
    """Return the operand of a slice after charging all of it."""
    budget_of(context).make(value)
    return value


@pass_context
def _built(context: Context, value: Any) -> Any:
    """Return a list or object of a template after measuring it with everything nested in it."""
    budget_of(context).make(value)
    check_whole(value)
    return value


def _join(values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    texts, length = [], 0
    for value in values:
        text = str(value[attribute] if attribute is not None else value)
        length += len(text) + len(separator)
        check_length(length)
        texts.append(text)
    return separator.join(texts)


def _replace(text: str, old: str, new: str) -> str:
    text = str(text)
    check_length(len(text) + (text.count(old) if old else len(text) + 1) * max(0, len(new) - len(old)))
    return text.replace(old, new)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    if not isinstance(precision, int) or abs(precision) > MAX_PRECISION:
        raise TemplateFailedError(translate("round takes a precision of at most %(limit)s.", {"limit": MAX_PRECISION}))
    rounded: float = FILTERS["round"](value, precision, method)
    return rounded


def _sum(values: Iterable[Any], attribute: str | None = None) -> float:
    numbers: list[float] = [value[attribute] if attribute is not None else value for value in values]
    if not all(is_number(number) for number in numbers):
        raise TemplateFailedError(translate("sum adds numbers."))
    return sum(numbers)


def _to_json(value: Any, indent: int | None = None) -> str:
    encoder = json.JSONEncoder(ensure_ascii=False, indent=min(indent, 8) if indent is not None else None)
    parts, length = [], 0
    for part in encoder.iterencode(value):
        length += len(part)
        check_length(length)
        parts.append(part)
    return "".join(parts)


def _trim(text: str, characters: str | None = None) -> str:
    if characters is not None and len(characters) > MAX_TRIMMED_CHARACTERS:
        raise TemplateFailedError(
            translate("trim takes at most %(limit)s characters to remove.", {"limit": MAX_TRIMMED_CHARACTERS})
        )
    return str(text).strip(characters)


def _truncate(text: str, length: int = 255, end: str = "…") -> str:
    return str(text) if len(str(text)) <= length else str(text)[: max(0, length - len(end))] + end


# Jinja's own filters whose time is bounded by the size of their operands.
_JINJA_FILTERS: Final = (
    *("abs", "capitalize", "default", "d", "dictsort", "e", "escape", "first", "float", "int", "items", "last"),
    *("length", "count", "list", "lower", "max", "min", "reverse", "sort", "string", "title"),
    *("unique", "upper", "urlencode", "wordcount"),
)
# Those of them that read an attribute of each element by name.
_BY_ATTRIBUTE: Final = frozenset(FILTERS[name] for name in ("max", "min", "sort", "unique"))
_OWN_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "join": _join,
    "replace": _replace,
    "round": _round,
    "tojson": _to_json,
    "trim": _trim,
    "truncate": _truncate,
    "sum": _sum,
    "split": lambda text, by=None: str(text).split(by),
}
FILTER_NAMES: Final = frozenset({*_JINJA_FILTERS, *_OWN_FILTERS})
TEST_NAMES: Final = frozenset(
    {"boolean", "defined", "undefined", "divisibleby", "even", "odd", "false", "true", "float", "integer", "none"}
    | {"number", "string", "mapping", "sequence", "in", "eq", "ne", "lt", "le", "gt", "ge", "iterable"}
)


def make_filters() -> dict[str, Callable[..., Any]]:
    """Return all filters by name, including those that the template compiler inserts."""
    known: dict[str, Callable[..., Any]] = {name: FILTERS[name] for name in _JINJA_FILTERS} | dict(_OWN_FILTERS)
    charged = {name: _charged(function) for name, function in known.items()}
    return charged | {COUNTED: _counted, WEIGHED: _weighed, SLICED: _sliced, BUILT: _built}


def make_tests() -> dict[str, Callable[..., Any]]:
    """Return all tests by name."""
    known: dict[str, Any] = {**TESTS}
    return {name: _charged(known[name]) for name in TEST_NAMES}
