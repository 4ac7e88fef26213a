"""The part of the pages of runs and batches that shows their compensation."""

from __future__ import annotations

from uuid import UUID

from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop

from scheduling.compensation.service import standing_of
from tenants.console.links import console_link

_TEXTS = {
    "compensating": gettext_noop("%(done)s of %(all)s compensated"),
    "needs_attention": gettext_noop("needs attention: %(done)s of %(all)s compensated"),
    "compensated": gettext_noop("compensated: %(all)s"),
}


def compensation_link(owner_id: UUID) -> SafeString | str:
    """Return how far the compensation of a run or a batch is, as a link to its list; '' if there is none."""
    name, done, total = standing_of(owner_id)
    if not name:
        return ""
    url = f"{reverse('admin:scheduling_compensation_changelist')}?q={owner_id}"
    return console_link(url, gettext(_TEXTS[name]) % {"done": done, "all": total})
