"""The language of templates: its features, its isolation and its limits."""

from __future__ import annotations

import time

import pytest
from django.utils import translation
from jinja2 import TemplateSyntaxError

from workloads.workflows.definition import templates
from workloads.workflows.definition.expressions import Expression, ExpressionInvalidError, paths_in
from workloads.workflows.definition.template_budget import (
    MAX_OUTPUT_CHARACTERS,
    TemplateFailedError,
    TemplateRefusedError,
    VariableMissingError,
)
from workloads.workflows.definition.template_filters import FILTER_NAMES, TEST_NAMES
from workloads.workflows.definition.templates import MAX_DEPTH, parse_template, render_template

VARIABLES = {
    "inputs": {"name": "Ada", "items": [1, 2, 3], "price": 12.5, "rows": [{"n": 1}, {"n": 2}], "long": "x" * 100_000},
    "nodes": {"search": {"results": [{"text": "one"}, {"text": "two"}]}},
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hello {{ inputs.name }}!", "Hello Ada!"),
        ("{{ inputs.items }}", "[1, 2, 3]"),  # a field called as a method
        ("{{ inputs.name | upper }}{{ inputs.items | length }}", "ADA3"),
        ("{% for x in inputs.items %}{{ loop.index }}:{{ x * 2 }} {% endfor %}", "1:2 2:4 3:6 "),
        ("{% for r in nodes.search.results if r.text != 'one' %}{{ r.text }}{% endfor %}", "two"),
        ("{{ nodes.search.results[1].text }}", "two"),
        ("{{ nodes.gone.text | default('none') }}", "none"),
        ("{% if inputs.price > 10 %}dear{% else %}cheap{% endif %}", "dear"),
        ("{% set n = inputs.name %}{{ n + ', ' + n }}", "Ada, Ada"),
        ("{{ inputs.rows | join('+', 'n') }}={{ inputs.rows | sum('n') }}", "1+2=3"),
        ("{{ inputs.rows | tojson }}", '[{"n": 1}, {"n": 2}]'),
        ("{{ inputs.name | replace('d', 'dd') }}", "Adda"),
        ("a\n", "a\n"),
    ],
)
def test_template_renders_the_expected_text(source: str, text: str) -> None:
    assert render_template(source, VARIABLES) == text


@pytest.mark.parametrize(
    "source",
    [
        "{{ inputs.name.upper() }}",
        "{{ range(10) }}",
        "{{ ''.__class__ }}",
        "{{ inputs.name ~ 'x' }}",
        "{{ 2 ** 9 }}",
        "{% include 'settings' %}",
        "{% macro f() %}{% endmacro %}",
        "{% set x %}{{ inputs.name }}{% endset %}",
        "{{ inputs.name | format }}",
        "{{ inputs.name | center(1000000000) }}",
        "{% for x in inputs.items recursive %}{% endfor %}",
        "{{ _x }}",
        "{{ inputs | attr('x') }}",
        "x" * 70_000,
    ],
)
def test_unsupported_syntax_is_refused_before_rendering(source: str) -> None:
    if "__class__" in source:
        with pytest.raises(TemplateFailedError):
            render_template(source, VARIABLES)
        return
    with pytest.raises((TemplateRefusedError, TemplateSyntaxError)):
        parse_template(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 1000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ inputs.name.__class__.__mro__ }}",
        "{{ inputs.name.upper }}",
        "{{ 1 / 0 }}",
        "{{ inputs.long + inputs.long + inputs.long + inputs.long + inputs.long + inputs.long }}",
        "{% for a in inputs.long %}{% for b in inputs.long %}{% endfor %}{% endfor %}",
        "{% for a in inputs.items %}{{ inputs.long }}{{ inputs.long }}{% endfor %}",
        "{{ inputs.long | replace('x', inputs.long) }}",
        "{{ inputs.long | replace('', inputs.long) }}",
        "{{ [inputs.long, inputs.long, inputs.long, inputs.long, inputs.long, inputs.long] | join }}",
        "".join(f"{{% set a{n + 1} = a{n} + a{n} %}}" for n in range(1, 40)).replace("a1 ", "inputs.name ", 1),
    ],
)
def test_template_that_grows_or_fails_raises(source: str) -> None:
    with pytest.raises(TemplateFailedError) as caught:
        render_template(source, VARIABLES)
    assert str(caught.value)
    assert len(str(caught.value)) < MAX_OUTPUT_CHARACTERS


LONG = {"inputs": {"numbers": [str(number * 7_919 % 20_011) for number in range(20_000)], "text": "a" * 400_000}}
DOUBLED = "{% set a = [a, a] %}" * 40


@pytest.mark.parametrize(
    "source",
    [
        "{% set a = inputs.numbers | sort | sort | sort | sort | sort %}" * 500,
        "{% for n in inputs.numbers %}{% set a = inputs.numbers | sort %}{% endfor %}",
        "{% for n in inputs.numbers %}{% if 'none' in inputs.numbers %}{% endif %}{% endfor %}" * 9,
        "{% for n in inputs.numbers %}{% if inputs.numbers == inputs.numbers | list %}{% endif %}{% endfor %}",
        "{% for n in inputs.numbers %}{% if inputs.text is in inputs.numbers %}{% endif %}{% endfor %}",
        "".join(f"{{% set a{number} = inputs.text[1:] %}}" for number in range(1_500)),
        "".join(f"{{% set a{number} = inputs.text | upper %}}" for number in range(1_500)),
        f"{{% set a = [1] %}}{DOUBLED}{{{{ a }}}}",
        f"{{% set a = [1] %}}{DOUBLED.replace('[a, a]', '(a, a)')}{{{{ a | tojson }}}}",
        f"{{% set a = [1] %}}{DOUBLED.replace('[a, a]', '[a] + [a]')}{{{{ a == a }}}}",
        f"{{% set a = [1] %}}{DOUBLED.replace('[a, a]', '{1: a, 2: a}')}{{{{ a | length }}}}",
        "{{ 1 | round(99999999, 'ceil') }}",
        "{{ inputs.text | trim(inputs.text | replace('a', 'b')) }}",
    ],
)
def test_time_and_size_of_any_template_are_bounded(source: str) -> None:
    began = time.process_time()
    with pytest.raises(TemplateFailedError):
        render_template(source, LONG)
    # Two seconds to render, and the compilation of a template of the greatest length.
    assert time.process_time() - began < 20


class _Spent(templates.RenderBudget):
    def spend(self, size: int = 0) -> None:
        raise TemplateFailedError("spent")


@pytest.mark.parametrize(
    "operation",
    [
        *(f"1 | {name}" for name in sorted(FILTER_NAMES)),
        *(f"1 is {name}" for name in sorted(TEST_NAMES)),
        *("1 + 1", "1 - 1", "1 * 1", "1 / 1", "1 // 1", "1 % 1", "1 == 1", "1 in 1", "1 < 1"),
        *("[1][0:]", "[]", "{}", "()"),
    ],
)
def test_every_filter_test_and_operator_uses_the_budget(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    monkeypatch.setattr(templates, "RenderBudget", _Spent)
    with pytest.raises(TemplateFailedError, match=r"^spent$"):
        render_template(f"{{% set a = {operation} %}}", {})


def test_compilation_evaluates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates.RenderBudget, "spend", lambda *_: pytest.fail("drawn on"))
    parse_template("{{ 'b,a' | split(',') | sort }}{{ 'a' in 'abc' }}")
    templates._compiled("{{ 'b,a' | split(',') | sort }}{{ 'a' in 'abc' }}{{ [1, 2] + [3] }}{{ 'a' is in 'abc' }}")


def test_values_keep_their_types() -> None:
    source = (
        "{{ [3, 1] | sort }}{{ (1, 2) }}{{ {'a': [1]} }}{{ 'abc'[1:] }}{{ [1, 2] == [1, 2] }}{{ 1 < 2 < 3 }}"
        "{{ [1, 2] | reverse | list }}{{ {'b': 1} | items | list }}{{ [1, 1] | unique | join }}{{ '<' | e }}"
        "{{ 2.345 | round(2) }}{{ ' a ' | trim }}{{ 2 is even }}{{ nodes.gone is defined }}{{ nodes.gone | d('x') }}"
        "{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }}{% endfor %}"
    )
    assert render_template(source, VARIABLES) == (
        "[1, 3](1, 2){'a': [1]}bcTrueTrue[2, 1][('b', 1)]1&lt;2.35aTrueFalsex37"
    )


@pytest.mark.parametrize(
    "source",
    [
        "{{ inputs.name" + " | lower" * 2_000 + " }}",
        "{{ " + "1 + " * 3_000 + "1 }}",
        "{{ " + "not " * 3_000 + "1 }}",
        "{{ " + "-" * 3_000 + "1 }}",
        "{{ inputs" + ".a" * 3_000 + " }}",
        "{{ inputs" + "['a']" * 3_000 + " }}",
        "{{ " + "1 if 1 else " * 3_000 + "1 }}",
        "{{ " + "inputs.a and " * 3_000 + "1 }}",
        "{{ " + "[" * 3_000 + "]" * 3_000 + " }}",
        "{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}",
        "{% if 1 %}" * 200 + "{% endif %}" * 200,
        "{% for a in inputs.items %}" * 16 + "{% endfor %}" * 16,
    ],
)
def test_excessive_depth_is_refused_before_rendering(source: str) -> None:
    with pytest.raises(TemplateRefusedError, match="nested"):
        parse_template(source)
    with pytest.raises(TemplateFailedError, match="nested"):
        render_template(source, VARIABLES)


@pytest.mark.parametrize(
    "source",
    [
        "{{ inputs.name" + " | lower" * (MAX_DEPTH - 4) + " }}",
        "{{ " + "1 + " * (MAX_DEPTH - 4) + "1 }}",
        "{{ " + "[" * (MAX_DEPTH - 4) + "]" * (MAX_DEPTH - 4) + " }}",
        "{{ " + "(1 == " * (MAX_DEPTH // 2 - 4) + "1" + ")" * (MAX_DEPTH // 2 - 4) + " }}",
        "{% if inputs.name %}" * (MAX_DEPTH - 4) + "{% endif %}" * (MAX_DEPTH - 4),
        "{% for a in inputs.items %}" * 15 + "{% endfor %}" * 15,
        "{% if 0 %}" + "{% elif 0 %}" * 500 + "{% endif %}",
    ],
)
def test_allowed_depth_compiles(source: str) -> None:
    parse_template(source)
    templates._compiled(source)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("\n{{ a", "第 2 行：unexpected end of template, expected 'end of print statement'."),
        ("{{ range(10) }}", "函数调用"),
    ],
)
def test_fault_of_a_template_is_shown_in_the_active_language_with_its_line(source: str, text: str) -> None:
    with translation.override("zh-hans"), pytest.raises(ExpressionInvalidError) as fault:
        paths_in(Expression("", "template", source))
    assert text in str(fault.value)


@pytest.mark.parametrize("source", ["{{ nodes.gone.text }}", "{{ inputs.gone.b.c }}", "{{ inputs.items[99] }}"])
def test_missing_variable_is_an_error_of_its_own(source: str) -> None:
    with pytest.raises(VariableMissingError) as caught:
        render_template(source, VARIABLES)
    assert "_Missing" not in str(caught.value)
