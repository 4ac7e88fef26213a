"""The model of a tenant's named secrets. Values can be stored and used, but are never shown."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.encryption.fields import SealedJSONField
from tenants.secrets.references import MAX_NAME_CHARACTERS
from tenants.tenancy.bases import NamedModel, TenantModel

MAX_HOST_CHARACTERS = 255


class TenantSecret(NamedModel, TenantModel):
    """The newest version of one secret, encrypted; a new value overwrites the former one."""

    name = models.CharField(_("name"), max_length=MAX_NAME_CHARACTERS, help_text=_("It is used as {{ secrets.name }}."))
    hosts = ArrayField(
        models.CharField(max_length=MAX_HOST_CHARACTERS),
        verbose_name=_("hosts"),
        help_text=_("The only hosts that it is sent to."),
    )
    version = models.PositiveIntegerField(
        _("version"), default=1, editable=False, help_text=_("Incremented with each new value.")
    )
    sealed = SealedJSONField(verbose_name=_("sealed"), editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    created_by = models.CharField(_("created by"), max_length=200, editable=False)
    changed_at = models.DateTimeField(
        _("changed at"), db_default=Now(), editable=False, help_text=_("When its value was last replaced.")
    )
    changed_by = models.CharField(_("changed by"), max_length=200, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False, help_text=_("To the minute."))

    class Meta:
        verbose_name = _("secret")
        verbose_name_plural = _("secrets")
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="tenant_secret_name_unique")]
