"""Table of the site that owns the database."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from scheduling.sites.rules import Claim

ONLY_ID = 1


class Site(models.Model):
    """The only row: the site that owns this database, and until when it may start work.

    Without a witness there is no row, or ``starts_until`` is empty, and nothing is held back.
    """

    id = models.SmallIntegerField(primary_key=True, default=ONLY_ID)
    name = models.CharField(max_length=60)
    epoch = models.BigIntegerField(default=0)
    starts_until = models.DateTimeField(null=True)
    renewed_at = models.DateTimeField(null=True)
    fault = models.CharField(max_length=500, blank=True)
    promoted_at = models.DateTimeField(null=True)
    # Later commits of the old site are missing.
    lost_after = models.DateTimeField(null=True)

    class Meta:
        db_table = "scheduling_site"
        verbose_name = _("site")
        verbose_name_plural = _("sites")
        constraints = [models.CheckConstraint(condition=models.Q(id=ONLY_ID), name="site_is_one")]

    def __str__(self) -> str:
        return self.name

    @property
    def claim(self) -> Claim | None:
        """Return the site's claim; None before its first one."""
        return Claim(self.name, self.epoch) if self.epoch else None
