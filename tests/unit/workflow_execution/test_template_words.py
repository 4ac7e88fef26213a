"""What Jinja finds wrong with a template is told in the reader's language, with its line."""

from __future__ import annotations

import re

import pytest
from django.utils import translation
from jinja2 import TemplateSyntaxError

from scheduling.processors.workflow_execution.definition.expressions import (
    Expression,
    ExpressionInvalidError,
    paths_in,
)
from scheduling.processors.workflow_execution.definition.template_words import told_syntax_error
from scheduling.processors.workflow_execution.definition.templates import parse_template

CASES = [
    ("\n{{ a", "第 2 行：模板意外结束，应有 '打印语句的结尾'。"),
    ("{{ }}", "第 1 行：应有一个表达式，却是 '打印语句的结尾'"),
    ("{{ a b }}", "应有 '打印语句的结尾'，却是 'b'"),
    ("{% for x %}{% endfor %}", "应有 'in'，却是 '语句块的结尾'"),
    ("{% foo %}", "未知的标签 'foo'。"),
    ("{% for x in a %}", "模板意外结束。 Jinja 在寻找这些标签：'endfor' 或 'else'。 最内层需要关闭的块是 'for'。"),
    ("{% if a %}{% endfor %}", "未知的标签 'endfor'。 Jinja 在寻找这些标签："),
    ("{% for x in a %}{% if x %}{% endfor %}", "可能是嵌套有误"),
    ("{{ a $ }}", "位置 5 处有意外的字符 '$'"),
    ("{{ (a } }}", "意外的 '}'，应为 ')'"),
    ("{{ ) }}", "意外的 ')'"),
    ("{# x", "注释没有结尾"),
    ("{% raw %}x", "raw 没有结尾"),
    ("{% set 1 = 2 %}", "不能给 'const' 赋值"),
    ("{{ a. }}", "应有名称或数字"),
    ("{% %}", "应有标签名"),
    ("{{ a is b is c }}", "不能用 is 连接多个测试"),
    ("{{ f(**a, b) }}", "函数调用的语法无效"),
    ("{{ \u00b2 }}", "标识符中有无效的字符"),
]


@pytest.mark.parametrize(("source", "words"), CASES, ids=[source for source, _ in CASES])
def test_each_error_is_told_in_the_readers_language(source: str, words: str) -> None:
    with pytest.raises(ExpressionInvalidError) as english:
        paths_in(Expression("", "template", source))
    assert re.match(r"Line \d: [a-zA-Z]", str(english.value))
    with translation.override("zh-hans"), pytest.raises(ExpressionInvalidError) as chinese:
        paths_in(Expression("", "template", source))
    assert words in str(chinese.value)


@pytest.mark.parametrize(("source", "words"), CASES, ids=[source for source, _ in CASES])
def test_in_english_it_is_what_jinja_says(source: str, words: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        parse_template(source)
    assert told_syntax_error(caught.value) == f"Line {caught.value.lineno}: {caught.value.message}"


def test_what_jinja_has_never_said_yet_is_told_as_it_is() -> None:
    with translation.override("zh-hans"):
        assert told_syntax_error(TemplateSyntaxError("100 % new", 3)) == "第 3 行：100 % new"


def test_what_the_language_leaves_out_is_told_in_the_readers_language() -> None:
    with translation.override("zh-hans"), pytest.raises(ExpressionInvalidError, match="函数调用"):
        paths_in(Expression("", "template", "{{ range(10) }}"))
