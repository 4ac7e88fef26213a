"""What a site chooses is named in one place each: settings, database alias, console, Celery app, URLs, accounts."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from django.conf import global_settings

from jobsplatform.settings.env import BASE_DIR
from tenants.database.platform_settings import declared_settings
from tests.syntax import nodes_of, parse

# Settings of Django have no prefix.
LIBRARY_PREFIXES = ("AXES_", "CELERY_", "SPECTACULAR_")
PACKAGES = ("jobsplatform", "scheduling", "tenants", "workloads")
# The place that may name what the others may not.
ALIAS = "tenants/database/conf.py"
SITE = "tenants/console/site.py"
CELERY = ("jobsplatform/celery.py", "jobsplatform/apps.py", "scheduling/celery/app.py")
PREFIXES = "tenants/url_prefixes.py"
KEYS = {setting.name for setting in declared_settings()}


@cache
def sources() -> dict[str, ast.Module]:
    """Return the product's modules by path, without migrations and the modules that assemble the settings."""
    return {
        str(path.relative_to(BASE_DIR)): parse(path.read_text())
        for package in PACKAGES
        for path in sorted((BASE_DIR / package).rglob("*.py"))
        if "migrations" not in path.parts and path.parent != BASE_DIR / "jobsplatform" / "settings"
    }


def reads_of(tree: ast.Module, owner: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each upper-case attribute of `owner`, also by `getattr` with a constant."""
    for node in nodes_of(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == owner and attribute.isupper():
                yield node.lineno, attribute
            case ast.Call(
                func=ast.Name(id="getattr"), args=[ast.Name(id=name), ast.Constant(value=str(attribute)), *_]
            ):
                if name == owner:
                    yield node.lineno, attribute


def imports_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in nodes_of(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def bare_settings(tree: ast.Module) -> list[int]:
    """Return lines that read from Django's settings what is neither Django's nor a library's, or a settings module."""
    return [
        *(
            line
            for line, name in reads_of(tree, "settings")
            if not hasattr(global_settings, name) and not name.startswith(LIBRARY_PREFIXES)
        ),
        *(line for line, name in imports_of(tree) if name.startswith("jobsplatform.settings")),
    ]


def undeclared_keys(tree: ast.Module) -> list[int]:
    """Return lines that read a key which no app declares."""
    return [line for line, name in reads_of(tree, "platform_settings") if name not in KEYS]


def literal_aliases(tree: ast.Module) -> list[int]:
    """Return lines that name the alias of the database otherwise than by APP_ALIAS."""
    found = [line for line, name in imports_of(tree) if name.endswith("DEFAULT_DB_ALIAS")]
    for node in nodes_of(tree):
        match node:
            case ast.Subscript(value=ast.Name(id="connections"), slice=ast.Constant()):
                found.append(node.lineno)
            case ast.keyword(arg="using" | "databases", value=ast.Constant(value="default")):
                found.append(node.value.lineno)
            case ast.Call(func=ast.Attribute(attr="using"), args=[ast.Constant()]):
                found.append(node.lineno)
            case ast.Compare(left=ast.Constant(value="default"), comparators=[other]) if "databases" in ast.unparse(
                other
            ):
                found.append(node.lineno)
    return found


def other_sites(tree: ast.Module) -> list[int]:
    """Return lines that take Django's admin site, or register a page without naming the console's."""
    found = []
    for node in nodes_of(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="admin"), attr="site"):
                found.append(node.lineno)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="admin"), attr="register"), keywords=keywords):
                if "console_site" not in {ast.unparse(each.value) for each in keywords if each.arg == "site"}:
                    found.append(node.lineno)
    return found


def other_celery_apps(tree: ast.Module) -> list[int]:
    """Return lines that reach a Celery app otherwise than by `celery_app`."""
    names = ("jobsplatform.celery", "celery.current_app", "celery.app.app_or_default")
    made = [node.lineno for node in nodes_of(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Celery"]
    return [line for line, name in imports_of(tree) if name.startswith(names)] + made


def literal_prefixes(tree: ast.Module) -> list[int]:
    """Return lines with an address of console or API in a text that is neither documentation nor translated."""
    shown = {
        id(part)
        for node in nodes_of(tree)
        if (isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("gettext", "_")))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for part in ast.walk(node)
    }
    return [
        node.lineno
        for node in nodes_of(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in shown
        and re.search(r"^(.*[^\w])?/?(api/v\d|admin/$)|/api/|^/admin|\}/admin", node.value)
    ]


def user_models(tree: ast.Module) -> list[int]:
    """Return lines that import Django's own model of accounts or name it."""
    found = [line for line, name in imports_of(tree) if name == "django.contrib.auth.models.User"]
    return found + [
        node.lineno
        for node in nodes_of(tree)
        if isinstance(node, ast.Constant) and str(node.value).lower() == "auth.user"
    ]


Finder = Callable[[ast.Module], list[int]]
SEAMS: dict[Finder, tuple[str, ...]] = {
    bare_settings: (),
    undeclared_keys: (),
    literal_aliases: (ALIAS,),
    other_sites: (SITE,),
    other_celery_apps: CELERY,
    literal_prefixes: (PREFIXES,),
    user_models: (),
}


@pytest.mark.parametrize(("find", "places"), SEAMS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_each_seam_is_named_in_its_listed_places_only(find: Finder, places: tuple[str, ...]) -> None:
    found = {path: lines for path, tree in sources().items() if path not in places and (lines := find(tree))}
    assert found == {}


@pytest.mark.parametrize(
    ("find", "source"),
    [
        (bare_settings, "settings.LEASE_SECONDS"),
        (bare_settings, "getattr(settings, 'LEASE_SECONDS', 3)"),
        (bare_settings, "from jobsplatform.settings import base"),
        (undeclared_keys, "platform_settings.LEASE_SECOND"),
        (literal_aliases, "connections['default'].close()"),
        (literal_aliases, "transaction.atomic(using='default')"),
        (literal_aliases, "Job.objects.using('default')"),
        (literal_aliases, "from django.db import DEFAULT_DB_ALIAS"),
        (literal_aliases, "'default' not in (databases or ())"),
        (other_sites, "admin.site.urls"),
        (other_sites, "@admin.register(Job)\nclass Page: ..."),
        (other_celery_apps, "from celery import current_app"),
        (other_celery_apps, "app = Celery('another')"),
        (other_celery_apps, "from jobsplatform.celery import app"),
        (literal_prefixes, "f'{base}/admin/'"),
        (literal_prefixes, "path.startswith('/api/')"),
        (literal_prefixes, "path('api/v1/jobs/', view)"),
        (literal_prefixes, "path('admin/', view)"),
        (user_models, "from django.contrib.auth.models import Group, User"),
        (user_models, "ForeignKey('auth.User')"),
    ],
)
def test_breach_is_found(find: Finder, source: str) -> None:
    assert find(parse(source)) != []


@pytest.mark.parametrize(
    ("find", "source"),
    [
        (bare_settings, "settings.DATABASES, settings.AXES_FAILURE_LIMIT, platform_settings.LEASE_SECONDS"),
        (literal_aliases, "connections[APP_ALIAS]"),
        (other_sites, "@admin.register(Job, site=console_site)\nclass Page: ..."),
        (literal_prefixes, "'''The part of `/api/v1/`.'''\ngettext_lazy('Send POST /api/v1/jobs/.')"),
        (literal_prefixes, "render('tenants/admin/page.html')"),
        (user_models, "from django.contrib.auth.models import AbstractBaseUser"),
    ],
)
def test_permitted_code_is_not_found(find: Finder, source: str) -> None:
    assert find(parse(source)) == []


def test_templates_contain_no_url_prefix() -> None:
    translated = re.compile(
        r"\{%-?\s*translate .*?%\}|_\(\".*?\"\)|\{% blocktranslate.*?endblocktranslate %\}", re.DOTALL
    )
    found = [
        str(path.relative_to(BASE_DIR))
        for path in sorted(BASE_DIR.glob("**/templates/**/*.html"))
        if ".venv" not in path.parts and re.search(r"[\"']/(admin|api)/", translated.sub("", path.read_text()))
    ]
    assert found == []
