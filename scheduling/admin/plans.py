"""Tenants' plans as they are edited where there is a scheduler: with what a change would do to everybody."""

from __future__ import annotations

from django.contrib import admin

from scheduling.admin.what_if import WhatIfMixin
from scheduling.dashboards.what_if import ask_about_plan
from tenants.admin.plans import PlanAdmin
from tenants.models import Plan

admin.site.unregister(Plan)


@admin.register(Plan)
class PlanWithWhatIfAdmin(WhatIfMixin, PlanAdmin):
    """The page of `tenants`, and the panel."""

    change_form_template = "scheduling/dashboards/plan_form.html"
    ask = staticmethod(ask_about_plan)
