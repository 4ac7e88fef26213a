"""A list without rows explains why it is empty and what to do next."""

from __future__ import annotations

from django.contrib import admin

# Its list is a choice of tenants.
WITHOUT_ROWS = {"tenants.TenantSettings"}


def test_each_list_has_its_own_text_for_no_rows() -> None:
    silent = [
        model._meta.label
        for model, page in admin.site._registry.items()
        if not (getattr(page, "empty_title", "") and getattr(page, "empty_text", ""))
    ]
    assert set(silent) <= WITHOUT_ROWS
