"""The check of the self-diagnosis for settled executions that no tick could fold."""

from __future__ import annotations

from django.utils.translation import gettext

from scheduling.models import SettledRefused
from scheduling.services.diagnosis_check import Check, State
from tenants.context import all_tenants


def check_refused() -> Check:
    """Check that no settled execution is set aside."""
    with all_tenants():
        count = SettledRefused.objects.count()
        error = SettledRefused.objects.order_by("-id").values_list("error", flat=True).first()
    name = gettext("settled executions")
    if error is None:
        return Check(name, State.OK, gettext("all are counted"))
    return Check(
        name,
        State.FAILURE,
        gettext("%(count)s could not be counted: %(error)s") % {"count": count, "error": error.splitlines()[0]},
        gettext("Mend the cause, then run `manage.py verify refused --repair`. Dispatching goes on without them."),
    )
