"""The routing strategies by name, from entry points and from installed apps.

An installed app has names and dotted paths of its functions in ``routing_strategies`` of its AppConfig. A web server
imports them when it has started, other processes when the first job needs one. One that cannot be used stops no job.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from django.apps import apps
from django.utils.module_loading import import_string
from django.utils.translation import gettext

from scheduling.jobs.routing.strategy_calls import Cause, NoChoice
from scheduling.jobs.routing.time_bound import watch
from scheduling.kit.routing import Choose
from scheduling.models import RoutingRule
from tenants.exceptions import FieldInvalidError

ENTRY_POINT_GROUP = "jobsplatform.routing_strategies"
MAX_NAME_CHARACTERS = 40
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


def strategy_names() -> list[str]:
    """Return the names of all installed strategies, sorted; none is imported."""
    return sorted(_paths())


def check_balance(balance: str) -> None:
    """Raise FieldInvalidError unless it is empty, a balance of the platform or the name of an installed strategy."""
    names = [*filter(None, RoutingRule.Balance.values), *strategy_names()]
    if balance and balance not in names:
        raise FieldInvalidError.at(
            "balance",
            gettext("There is no balance or strategy %(name)r; there are: %(names)s.")
            % {"name": balance, "names": ", ".join(names)},
        )


@cache
def find_strategy(name: str) -> Choose | NoChoice:
    """Return the strategy of this name, or why there is none."""
    paths = _paths().get(name, [])
    if not paths:
        return NoChoice(Cause.NOT_INSTALLED)
    if len(paths) > 1:
        return NoChoice(Cause.NOT_USABLE, f"{' and '.join(paths)} have the same name")
    try:
        choose: Choose = import_string(paths[0])
        inspect.signature(choose).bind(None, None)
    except Exception as error:  # noqa: BLE001 - a package may raise anything when it is imported
        return NoChoice(Cause.NOT_USABLE, f"{paths[0]}: {type(error).__name__}: {error}"[:500])
    if inspect.iscoroutinefunction(choose) or isinstance(choose, type):
        return NoChoice(Cause.NOT_USABLE, f"{paths[0]} is not a function of (job, pools)")
    watch(choose)
    return choose


def load_strategies() -> None:
    """Import all installed strategies."""
    for name in strategy_names():
        find_strategy(name)


def find_unusable() -> Mapping[str, NoChoice]:
    """Return the strategies that active rules name and that cannot be used, with their faults."""
    rules = RoutingRule.objects.filter(is_active=True).exclude(balance__in=RoutingRule.Balance.values)
    names = rules.order_by("balance").values_list("balance", flat=True).distinct()
    found = {name: find_strategy(name) for name in names}
    return {name: fault for name, fault in found.items() if isinstance(fault, NoChoice)}


def reset() -> None:
    """Clear the caches, so that the next look-up searches again; for tests that add a strategy."""
    _paths.cache_clear()
    find_strategy.cache_clear()


@cache
def _paths() -> Mapping[str, list[str]]:
    """Return the dotted paths by name; a name that a rule cannot have is left out."""
    given = [item for config in apps.get_app_configs() for item in getattr(config, "routing_strategies", {}).items()]
    given += [(point.name, point.value.replace(":", ".")) for point in entry_points(group=ENTRY_POINT_GROUP)]
    found: dict[str, list[str]] = {}
    for name, path in dict.fromkeys(given):
        if _NAME.fullmatch(name) and len(name) <= MAX_NAME_CHARACTERS and name not in RoutingRule.Balance:
            found.setdefault(name, []).append(path)
    return found
