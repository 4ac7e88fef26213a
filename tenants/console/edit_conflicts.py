"""Detection of concurrent edits in forms: values changed since the form was opened are reported, not overwritten."""

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
    "This was changed since you opened it: {what}. Your input is kept below and is not saved yet. Save again to "
    "overwrite those changes."
)
UNREADABLE = gettext_lazy("The form has no record of the values that you saw. Reload the page.")


class FormMarksField(forms.CharField):
    """Hidden form field that holds digests of the values which the form showed when it was opened."""

    def __init__(self) -> None:
        super().__init__(
            label=gettext_lazy("Seen"),
            required=False,
            widget=forms.HiddenInput(),
            help_text=gettext_lazy("Digests of the values shown."),
        )

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


def marks_of(values: Mapping[str, Any]) -> str:
    """Return a JSON object with the digest of each value by its name, for a hidden form field."""
    return json.dumps({name: digest_of(value) for name, value in values.items()})


def changed_since(sent: str, values: Mapping[str, Any]) -> list[str]:
    """Return the names of values that do not match the submitted digests; raise ValueError if these are malformed."""
    seen = json.loads(sent)
    if not isinstance(seen, dict):
        raise ValueError("The digests must be an object.")  # noqa: TRY004 - a text that is none, as the others
    return [name for name, value in values.items() if name in seen and seen[name] != digest_of(value)]


def with_current_marks(sent: Any, values: Mapping[str, str]) -> Any:
    """Return a copy of the submitted data in which the given fields have new values."""
    data = sent.copy()
    for name, value in values.items():
        data[name] = value
    return data


def conflict_message(changed_fields: Sequence[str]) -> str:
    """Return the message for a person whose form shows outdated values of these fields."""
    return ADVICE.format(what="; ".join(changed_fields))


def current_value_text(label: str, value: Any) -> str:
    """Return the sentence that names a field by its label and states its current value, cut to MAX_SHOWN characters."""
    text = gettext("empty") if value in (None, "") else str(value)
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return gettext("%(label)s is now %(shown)s") % {"label": label, "shown": shown}


class ConflictCheckedForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    """Form of an existing row that reports values changed since it was opened, instead of overwriting them.

    `beside` maps labels to values of other rows that the page shows and that are checked as well.
    """

    seen = FormMarksField()
    beside: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Of a submitted form, too, these are the row's current values.
        columns = {field.name for field in self.instance._meta.concrete_fields}
        shown = [name for name, field in self.fields.items() if name in columns and not field.disabled]
        self._current = {name: self.initial.get(name) for name in shown} | dict(self.beside)
        self.fields[FIELD].initial = marks_of(self._current)

    def clean(self) -> dict[str, Any] | None:
        # Before anything is assigned to the row.
        what = self._changed_meanwhile()
        cleaned: dict[str, Any] | None = super().clean()
        if what and not getattr(self, "is_preview", False):
            # A plan reports by its version that it is stale, and what to do.
            is_said = getattr(self, "is_stale", False)
            self.add_error(
                None, gettext("Changes: %(what)s.") % {"what": "; ".join(what)} if is_said else conflict_message(what)
            )
            # Submitted again, the form applies to the values that are reported now.
            self.data = with_current_marks(self.data, {self.add_prefix(FIELD): marks_of(self._current)})
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
            return current_value_text(name, self.beside[name])
        field, value = self.fields[name], getattr(self.instance, name)
        if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
            choices: Any = field.choices
            value = dict(choices).get(value, value)
        return current_value_text(str(field.label or name), value)


def with_conflict_check(form: Any, beside: Mapping[str, Any], *, without: Iterable[Any]) -> type[ConflictCheckedForm]:
    """Return a subclass of the form that detects concurrent changes; fields named in ``without`` are only shown."""
    removed = dict.fromkeys(name for name in without if name in form.declared_fields)
    return type(form.__name__, (ConflictCheckedForm, form), {"beside": beside, **removed})
