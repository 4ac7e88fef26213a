"""Every message that can be translated: of Python, of templates (the shell's own too), and of models."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import django_celery_beat
import unfold
from django.apps import apps
from django.conf import settings
from django.template import Template
from django.template.base import Node
from django.template.engine import Engine
from django.templatetags.i18n import BlockTranslateNode, TranslateNode
from django.utils.module_loading import import_string

from jobsplatform.words import declared_words
from scheduling.processors.base import TaskProcessor
from scheduling.processors.document_indexing.selectors import SHOWN_STATUSES
from scheduling.processors.rag_pipeline.selectors import SHOWN_ENTITY_STATES, SHOWN_RUN_STATES
from scheduling.processors.workflow_storage.records import SHOWN_STATES
from scheduling.services.upkeep.registry import tasks
from tenants.exceptions import DomainError
from tenants.limits import limits
from tenants.setting_schema import setting_groups
from tools.messages.foreign import known_to

ROOT = Path(settings.BASE_DIR)
_ERROR = re.compile(r"^class \w+Error\(", re.MULTILINE)
PACKAGES = ("jobsplatform", "scheduling", "tenants")
SHELL = Path(unfold.__file__).parent / "templates"
FOREIGN_CODE = (Path(unfold.__file__).parent, Path(django_celery_beat.__file__).parent)
# Of calls, how many of the first arguments are msgid and plural; those with a context are not used here.
CALLS = {
    "_": 1,
    "gettext": 1,
    "gettext_lazy": 1,
    "gettext_noop": 1,
    "ngettext": 2,
    "ngettext_lazy": 2,
    "translate": 1,
    "LocalizableText": 1,
}
# Tables of words, looked up where they are shown: the name that makes a row, and the arguments that are words.
TABLES: dict[str, tuple[int | str, ...]] = {
    "Mark": (1,),
    "Page": (1,),
    "_link": (0,),
    "_finding": (2,),
    "_report": (2,),
    "post_action": ("label",),
    "FaultKind": (1,),
}
# Names that hold words by their keys.
MAPPINGS = frozenset(
    {
        "TEXTS",
        "PICK_REASONS",
        "PICK_LEVELS",
        "FACT_NAMES",
        "COUNT_NAMES",
        "BULK_REASONS",
        "WAIT_VERDICTS",
        "EFFECT_NOTES",
        "FINDING_KINDS",
        "STATE_WORDS",
        "ACTOR_KINDS",
        "MEMORY_WORDS",
        "ROW_WORDS",
    }
)
# Of a later Django, and of a package that is not here.
FOREIGN = re.compile(r"{% load [^%]*(\bauth\b|crispy_forms)")
# `_("…")` in a template, as an argument of a tag or a filter.
ARGUMENT = re.compile(r"""\b_\(\s*(?:"([^"]*)"|'([^']*)')\s*\)""")


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """What is said, its plural if it counts something."""

    text: str
    plural: str = ""


def find_messages() -> dict[Message, list[str]]:
    """Every message, and the files that say it."""
    found: dict[Message, set[str]] = {}
    for where, message in _all():
        found.setdefault(message, set()).add(where)
    return {message: sorted(places) for message, places in found.items()}


def template_files() -> list[Path]:
    """The templates of this project."""
    folders = [ROOT / "templates", *(ROOT / package for package in PACKAGES)]
    return sorted(path for folder in folders for path in folder.rglob("*.html") if "templates" in path.parts)


def python_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _all() -> Iterator[tuple[str, Message]]:
    refusals = {error.__name__: 1 for error in errors_of_domain()}
    for path in python_files():
        for message in messages_of_python(path.read_text(), CALLS | refusals):
            yield str(path.relative_to(ROOT)), message
    for path in template_files():
        for message in messages_of_template(path.read_text()):
            yield str(path.relative_to(ROOT)), message
    for word in declared_words():
        yield word.where, Message(word.text)
    for where, text in [*_registered(), *_codes()]:
        yield where, Message(text)
    yield from _of_the_shell()


def errors_of_domain() -> list[type[DomainError]]:
    """Every class of refusals, wherever it is written, whatever else has been imported."""
    for path in python_files():
        if _ERROR.search(path.read_text()):
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    found = [DomainError]
    for error in found:
        found += [child for child in error.__subclasses__() if child.__module__.startswith(PACKAGES)]
    return found


def _codes() -> Iterator[tuple[str, str]]:
    """States that are shown by their names."""
    for states in (SHOWN_STATUSES, SHOWN_RUN_STATES, SHOWN_ENTITY_STATES, SHOWN_STATES):
        yield from (("shown state", str(state)) for state in states)


def _kinds_in_place() -> Iterator[type[TaskProcessor]]:
    """Those of apps in place, also where a deployment does not allow them."""
    for config in apps.get_app_configs():
        if config.name.startswith(PACKAGES):
            yield from map(import_string, getattr(config, "processors", ()))


def _registered() -> Iterator[tuple[str, str]]:
    """Words of what apps register: settings, limits, upkeep; and of what they refuse."""
    for error in errors_of_domain():
        yield "refusal", error.title
    for processor in _kinds_in_place():
        yield from (("job kind", text) for text in (processor.title, processor.description) if text)
    for group in setting_groups():
        yield "setting", group.title
        for setting in group.settings:
            yield from (("setting", text) for text in (setting.title, setting.help_text, setting.effect) if text)
    for limit in limits().values():
        yield from (("limit", text) for text in (limit.title, limit.counts, limit.unit) if text)
    for task in tasks():
        yield from (("upkeep", text) for text in (task.title, task.text) if text)


def messages_of_python(source: str, calls: Mapping[str, int] = CALLS) -> Iterator[Message]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            yield from _of_mapping(node)
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        for place in TABLES.get(name, ()):
            yield from _of_argument(node, place)
        count = calls.get(name, 0)
        texts = [_text_of(argument) for argument in node.args[:count]]
        if count and len(texts) == count and all(texts):
            yield Message(*(text for text in texts if text))


def _of_argument(call: ast.Call, place: int | str) -> Iterator[Message]:
    if isinstance(place, int):
        found = call.args[place : place + 1]
    else:
        found = [keyword.value for keyword in call.keywords if keyword.arg == place]
    yield from (Message(text) for text in map(_text_of, found) if text)


def _of_mapping(node: ast.Assign | ast.AnnAssign) -> Iterator[Message]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if isinstance(node.value, ast.Dict) and any(getattr(target, "id", "") in MAPPINGS for target in targets):
        yield from (Message(text) for text in map(_text_of, node.value.values) if text)


def messages_of_template(source: str) -> Iterator[Message]:
    template = Template(source, engine=Engine.get_default())
    for node in _nodes(template.nodelist):
        if isinstance(node, TranslateNode):
            literal = node.filter_expression.var
            text = literal if isinstance(literal, str) else getattr(literal, "literal", None)
            if text:
                yield Message(str(text))
        elif isinstance(node, BlockTranslateNode):
            text, _names = node.render_token_list(node.singular)
            plural, _names = node.render_token_list(node.plural) if node.plural else ("", [])
            yield Message(_trimmed(node, text), _trimmed(node, plural))
    for double, single in ARGUMENT.findall(source):
        yield Message(double or single)


def _nodes(nodes: Any) -> Iterator[Node]:
    for node in nodes:
        yield node
        for name in {*node.child_nodelists, "nodelist"}:
            yield from _nodes(getattr(node, name, None) or [])


def _trimmed(node: BlockTranslateNode, text: str) -> str:
    return " ".join(line.strip() for line in text.strip().splitlines()).strip() if node.trimmed else text


def _of_the_shell() -> Iterator[tuple[str, Message]]:
    """What unfold and the pages of beat say and neither Django nor they translate."""
    for package in FOREIGN_CODE:
        known = known_to(package)
        for path in sorted(package.rglob("*.py")):
            for message in messages_of_python(path.read_text()):
                if message.text not in known:
                    yield f"{package.name}/{path.relative_to(package)}", message
    for path in sorted(SHELL.rglob("*.html")):
        if FOREIGN.search(path.read_text()):
            continue
        for message in messages_of_template(path.read_text()):
            yield f"unfold/{path.relative_to(SHELL)}", message


def _text_of(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
