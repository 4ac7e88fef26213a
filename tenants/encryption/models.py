"""The model of tenants' data keys. They are stored encrypted by a master key, which is in no table."""

from __future__ import annotations

from django.contrib.postgres.functions import TransactionNow
from django.db import models

from tenants.tenancy.bases import TenantModel


class TenantDataKey(TenantModel):
    """A data key of one tenant.

    The one that is not retired encrypts new values; each decrypts the values it has encrypted. The oldest also keys the
    tenant's hashes, for the tenant's lifetime: hashes are compared and never decrypted, so they cannot be rotated.
    """

    wrapped = models.BinaryField(max_length=2_048, help_text="The key as its master key has encrypted it.")
    master_key_id = models.CharField(max_length=16)
    # The time of the transaction, not of the statement: it identifies a key of the current transaction.
    created_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    retired_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(retired_at__isnull=True), name="tenant_data_key_one_in_use"
            )
        ]
        indexes = [models.Index(fields=["tenant", "id"], name="tenant_data_key_by_tenant")]

    def __str__(self) -> str:
        return f"{self.id} under {self.master_key_id}"
