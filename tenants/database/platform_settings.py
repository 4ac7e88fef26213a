"""The settings of the product: keys of one dict, `settings.JOBS_PLATFORM`, read as attributes of `platform_settings`.

Each app declares its keys with their defaults in its own `platform_settings.py`. What a tenant can set is in
`tenants.settings`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

NAME = "JOBS_PLATFORM"


@dataclass(frozen=True)
class PlatformSetting:
    """The declaration of one key of JOBS_PLATFORM. Its values must have the type of its default."""

    name: str
    default: Any
    help_text: str
    minimum: float | None = None
    maximum: float | None = None
    # The greatest number that is too small.
    above: float | None = None
    choices: tuple[str, ...] = ()
    # The type of the items of a list, or of the values of a dict.
    item_type: type = str
    # Whether the environment variable of the same name fills it.
    has_variable: bool = True

    @property
    def type_name(self) -> str:
        """Return the name of the type as the manual prints it, such as "list of str"."""
        match self.default:
            case list():
                return f"list of {self.item_type.__name__}"
            case tuple():
                return "pair of int"
            case dict():
                return f"dict of {self.item_type.__name__}"
        return type(self.default).__name__

    def find_fault(self, value: Any) -> str | None:
        """Return a message about what is wrong with a value, or None if it is valid.

        A value of a wrong type is not quoted in the message, because it may be a secret.
        """
        if not self._is_of_type(value):
            return f"{self.name} is of type {type(value).__name__}; it must be {self.type_name}."
        if self.choices and value not in self.choices:
            return f"{self.name} is {value!r}; it must be {' or '.join(map(repr, self.choices))}."
        numbers = value if isinstance(value, list | tuple) else [value]
        for is_beyond, bound, words in (
            (operator.lt, self.minimum, "at least"),
            (operator.gt, self.maximum, "at most"),
            (operator.le, self.above, "more than"),
        ):
            if bound is not None and any(is_beyond(number, bound) for number in numbers):
                return f"{self.name} is {value!r}; it must be {words} {bound}."
        return None

    def _is_of_type(self, value: Any) -> bool:
        match self.default:
            case list():
                return isinstance(value, list | tuple) and all(_is_a(item, self.item_type) for item in value)
            case tuple():
                return (
                    isinstance(value, list | tuple)
                    and len(value) == len(self.default)
                    and all(_is_a(item, int) for item in value)
                )
            case dict():
                return isinstance(value, Mapping) and all(
                    _is_a(name, str) and _is_a(item, self.item_type) for name, item in value.items()
                )
        return _is_a(value, type(self.default))


def _is_a(value: Any, wanted: type) -> bool:
    """Return whether a value is of a type; True and False are no numbers, and whole numbers are numbers."""
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, int | float if wanted is float else wanted)


class PlatformSettings:
    """Attributes with the values of the declared keys, each read at its first access and kept until `forget`."""

    def __init__(self, read: Callable[[], Mapping[str, Any]]) -> None:
        vars(self)["_read"] = read

    def __getattr__(self, name: str) -> Any:
        """Return the value of a key that is not kept, and keep it as an attribute of the instance."""
        declared = _declared.get(name)
        if declared is None:
            raise AttributeError(_unknown(name))
        kept = vars(self)  # `forget` in another thread replaces it
        value = self._read().get(name, declared.default)
        kept[name] = float(value) if isinstance(declared.default, float) else value
        return kept[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} cannot be set: values come from the settings alone.")

    def forget(self) -> None:
        """Drop the kept values, so that each is read again."""
        object.__setattr__(self, "__dict__", {"_read": self._read})


@dataclass(frozen=True)
class PlatformSettingRule:
    """A condition on the values of several keys, and the message if it is not met."""

    message: str
    is_met: Callable[[PlatformSettings], bool]


_declared: dict[str, PlatformSetting] = {}
_rules: list[PlatformSettingRule] = []


def declare(*declarations: PlatformSetting | PlatformSettingRule) -> None:
    """Register keys and rules. Each module `platform_settings.py` calls it once, at import.

    Raise ValueError for a duplicate.
    """
    for declaration in declarations:
        if isinstance(declaration, PlatformSettingRule):
            _rules.append(declaration)
        elif declaration.name in _declared:
            raise ValueError(f"{declaration.name} is declared twice.")
        else:
            _declared[declaration.name] = declaration


def declared_settings() -> list[PlatformSetting]:
    """Return the declarations of all keys that have been registered so far."""
    return list(_declared.values())


def find_unknown(values: Mapping[str, Any]) -> list[str]:
    """Return a message for each key that no app has declared; it suggests the declared key with the closest name."""
    return [_unknown(name) for name in values if name not in _declared]


def find_faults(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message for each value of a wrong type or out of bounds; if all are valid, one for each broken rule."""
    faults = [
        fault
        for name, value in values.items()
        if name in _declared and (fault := _declared[name].find_fault(value)) is not None
    ]
    yield from faults
    if not faults:
        given = PlatformSettings(lambda: values)
        yield from (rule.message for rule in _rules if not rule.is_met(given))


def _unknown(name: str) -> str:
    close = get_close_matches(name, _declared, n=1, cutoff=0.0)
    return f"{NAME} has no key {name!r}." + (f" The closest one is {close[0]!r}." if close else "")


platform_settings = PlatformSettings(lambda: getattr(settings, NAME, {}))


@receiver(setting_changed, dispatch_uid="tenants.database.platform_settings")
def _forget_values(*, setting: str, **_: Any) -> None:
    """Read the keys again after `override_settings`; a running process never changes its settings."""
    if setting == NAME:
        platform_settings.forget()
