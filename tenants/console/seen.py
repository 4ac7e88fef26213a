"""What stood in a form when it was opened: what somebody else has changed meanwhile is not saved over, but named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext, gettext_lazy

from tenants.tenancy.editions import digest_of

FIELD = "seen"
MAX_SHOWN = 80
ADVICE = gettext_lazy(
    "Somebody else has changed this since you opened it: {what}. What you typed still stands below, and nothing of it"
    " is saved. Saving again puts yours on top of that."
)
UNREADABLE = gettext_lazy("The form does not say what you saw when you opened it. Load the page anew.")


class SeenField(forms.CharField):
    """What was seen, hidden in the form; no value of the row."""

    def __init__(self) -> None:
        super().__init__(
            label=gettext_lazy("Seen"),
            required=False,
            widget=forms.HiddenInput(),
            help_text=gettext_lazy("What was read."),
        )

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


def marks_of(values: Mapping[str, Any]) -> str:
    """Short marks of values by their names, as a hidden field holds them."""
    return json.dumps({name: digest_of(value) for name, value in values.items()})


def changed_since(sent: str, values: Mapping[str, Any]) -> list[str]:
    """The names of values that are others than when the marks were made; ValueError for marks that are none."""
    seen = json.loads(sent)
    if not isinstance(seen, dict):
        raise ValueError("Marks are an object.")  # noqa: TRY004 - a text that is none, as the others
    return [name for name, value in values.items() if name in seen and seen[name] != digest_of(value)]


def resent(sent: Any, values: Mapping[str, str]) -> Any:
    """What was sent, with other values in hidden fields."""
    data = sent.copy()
    for name, value in values.items():
        data[name] = value
    return data


def advice(what: Sequence[str]) -> str:
    """What is said to whoever was overtaken."""
    return ADVICE.format(what="; ".join(what))


def told(label: str, value: Any) -> str:
    """A value as it is now, after its label."""
    text = gettext("empty") if value in (None, "") else str(value)
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return gettext("%(label)s is now %(shown)s") % {"label": label, "shown": shown}


class SeenForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    """The form of a row that is there already; `beside` is what its page shows of other rows, by label."""

    seen = SeenField()
    beside: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Of a form that was sent, too, these are the values of the row as it is now.
        columns = {field.name for field in self.instance._meta.concrete_fields}
        shown = [name for name, field in self.fields.items() if name in columns and not field.disabled]
        self._current = {name: self.initial.get(name) for name in shown} | dict(self.beside)
        self.fields[FIELD].initial = marks_of(self._current)

    def clean(self) -> dict[str, Any] | None:
        # Before anything is assigned to the row.
        what = self._changed_meanwhile()
        cleaned: dict[str, Any] | None = super().clean()
        if what and not getattr(self, "is_preview", False):
            # A plan says by its version that it is stale, and what to do.
            is_said = getattr(self, "is_stale", False)
            self.add_error(
                None, gettext("What changed: %(what)s.") % {"what": "; ".join(what)} if is_said else advice(what)
            )
            # Sent again, it is meant for what is told of now.
            self.data = resent(self.data, {self.add_prefix(FIELD): marks_of(self._current)})
        return cleaned

    def _changed_meanwhile(self) -> list[str]:
        sent = self.data.get(self.add_prefix(FIELD))
        if not sent:
            return []
        try:
            names = changed_since(sent, self._current)
        except ValueError:
            self.add_error(None, UNREADABLE)
            return []
        return [self._tell(name) for name in names]

    def _tell(self, name: str) -> str:
        if name in self.beside:
            return told(name, self.beside[name])
        field: Any = self.instance._meta.get_field(name)
        value = getattr(self.instance, name)
        if field.choices:
            value = getattr(self.instance, f"get_{name}_display")()
        return told(str(self.fields[name].label or name), value)


def with_seen(form: Any, beside: Mapping[str, Any], *, without: Iterable[Any]) -> type[SeenForm]:
    """The form of a change, which also says what was seen; ``without`` the fields that are only shown."""
    removed = dict.fromkeys(name for name in without if name in form.declared_fields)
    return type(form.__name__, (SeenForm, form), {"beside": beside, **removed})
