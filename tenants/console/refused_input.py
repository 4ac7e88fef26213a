"""Forms whose change a service has refused: they are shown again with the input and the reasons."""

from __future__ import annotations

from typing import Any

from django.forms import ModelForm

from tenants.exceptions import DomainError


def with_refusal(form: type[ModelForm[Any]], refusal: DomainError) -> type[ModelForm[Any]]:
    """Return the form class with a service's refusal as an error of each field that it names, else of the form."""

    def clean(self: Any) -> dict[str, Any] | None:
        cleaned: dict[str, Any] | None = form.clean(self)
        faults = {fault.get("field"): fault["detail"] for fault in refusal.errors}
        if not faults or faults.keys() - self.fields.keys():
            self.add_error(None, refusal.detail)
        for name in faults.keys() & self.fields.keys():
            self.add_error(name, faults[name])
        return cleaned

    return type(form.__name__, (form,), {"clean": clean})
