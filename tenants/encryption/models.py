"""The keys that a tenant's values are sealed with, themselves wrapped by a master key that no table holds."""

from __future__ import annotations

from django.contrib.postgres.functions import TransactionNow
from django.db import models

from tenants.tenancy.bases import TenantModel


class TenantDataKey(TenantModel):
    """One data key. The one that is not retired seals what is written; all of them open what they have sealed.

    The oldest also hashes, for as long as the tenant is: hashes are compared and never opened, so they are not rotated.
    """

    wrapped = models.BinaryField(max_length=60, help_text="Nonce, key and tag: AES-256-GCM under the master key.")
    master_key_id = models.CharField(max_length=16)
    # Of the transaction, not of the statement: by it a key of one's own transaction, not yet there, is told.
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
