"""The model of data keys, which a master key that is in no table wraps."""

from __future__ import annotations

from django.contrib.postgres.functions import TransactionNow
from django.db import models

from tenants.tenancy.bases import TenantModel


class TenantDataKey(TenantModel):
    """A data key. The one not retired seals new values; each opens the values that it has sealed.

    The oldest also hashes, for the tenant's lifetime: hashes are compared and never opened, so they are not rotated.
    """

    wrapped = models.BinaryField(max_length=60, help_text="Nonce, key and tag: AES-256-GCM under the master key.")
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
