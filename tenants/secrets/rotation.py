"""Secrets that sign requests: kept encrypted on a row and replaced with an overlap, in which two are valid."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.audit.service import record_audit
from tenants.database.clock import read_clock
from tenants.secrets.signing import new_secret, seal

# Time for which the previous secret is valid too, so that the other side can adopt the new one.
OVERLAP: Final = timedelta(hours=24)


class RotatedSecretModel(models.Model):
    """Base of rows with a secret that signs requests."""

    sealed_secret = models.TextField(_("sealed secret"), editable=False)
    previous_sealed_secret = models.TextField(_("previous sealed secret"), blank=True, editable=False)
    rotated_at = models.DateTimeField(
        _("rotated at"), null=True, editable=False, help_text=_("When the secret was last replaced.")
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        abstract = True

    def valid_sealed_secrets(self) -> list[str]:
        """Return the encrypted secrets that are valid now, the current one first."""
        is_in_overlap = self.rotated_at is not None and self.rotated_at > read_clock() - OVERLAP
        return [self.sealed_secret, *([self.previous_sealed_secret] if is_in_overlap else [])]


def replace_secret(row: RotatedSecretModel, *, action: str, reason: str = "") -> str:
    """Give a locked row a new secret, with an audit entry, and return it. The previous one is valid for OVERLAP."""
    secret = new_secret()
    before = row.rotated_at or row.created_at
    row.previous_sealed_secret, row.sealed_secret = row.sealed_secret, seal(secret)
    row.rotated_at = read_clock()
    row.save(update_fields=["previous_sealed_secret", "sealed_secret", "rotated_at"])
    since = {"since": row.rotated_at.isoformat()}
    record_audit(action=action, target=row, before={"since": before.isoformat()}, after=since, reason=reason)
    return secret
