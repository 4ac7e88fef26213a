"""The language of templates: what it can do, and that nothing in it gets out or grows without bound."""

from __future__ import annotations

import pytest
from jinja2 import TemplateSyntaxError

from scheduling.processors.workflow_execution.definition.templates import (
    MAX_OUTPUT_CHARACTERS,
    TemplateFailedError,
    TemplateRefusedError,
    parse_template,
    render_template,
)

VARIABLES = {
    "inputs": {"name": "Ada", "items": [1, 2, 3], "price": 12.5, "rows": [{"n": 1}, {"n": 2}], "long": "x" * 100_000},
    "nodes": {"search": {"results": [{"text": "one"}, {"text": "two"}]}},
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hello {{ inputs.name }}!", "Hello Ada!"),
        ("{{ inputs.items }}", "[1, 2, 3]"),  # a field that is called as a method is
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
def test_what_the_language_can_do(source: str, text: str) -> None:
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
def test_what_is_not_in_the_language_is_refused_before_it_runs(source: str) -> None:
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
        "{{ nodes.gone.text }}",
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
def test_what_grows_or_breaks_fails(source: str) -> None:
    with pytest.raises(TemplateFailedError) as caught:
        render_template(source, VARIABLES)
    assert str(caught.value)
    assert len(str(caught.value)) < MAX_OUTPUT_CHARACTERS
