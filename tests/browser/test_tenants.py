"""A tenant is provisioned in one form, and its page is behind the list."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tenants.context import all_tenants
from tenants.models import Tenant
from tests.browser.conftest import Console

pytestmark = [pytest.mark.browser]


def test_tenant_is_provisioned_with_owner_and_key(console: Console) -> None:
    console.log_in()
    page = console.page
    for link in ("/admin/tenants/tenant/", "/admin/tenants/tenant/add/"):
        page.locator(f'a[href$="{link}"]').filter(visible=True).first.click()
    page.locator("[name=slug]").fill("hooli")
    page.locator("[name=name]").fill("Hooli")
    page.locator("[name=plan]").select_option(label="Team")
    page.locator("[name=owner]").fill("gavin@hooli.example")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#invitation-link")).to_contain_text("/admin/invitation/?token=")
    expect(page.locator("#issued-token")).to_contain_text("jp")
    page.get_by_role("link", name="Open Hooli").click()
    expect(page.get_by_text("gavin@hooli.example")).to_be_visible()
    expect(page.locator("#row-now")).to_contain_text("active")


def test_page_of_tenant_is_behind_the_list(console: Console, acme: Tenant) -> None:
    console.log_in()
    page = console.page
    page.locator('a[href$="/admin/tenants/tenant/"]').filter(visible=True).first.click()
    expect(page.get_by_role("columnheader", name="Share of entitlement")).to_be_visible()
    # The tenants of other tests may fill the first page of the list.
    page.locator("input[name=q]").fill(acme.slug)
    page.keyboard.press("Enter")
    page.wait_for_url("**/tenant/?q=*")
    page.get_by_role("link", name=acme.slug, exact=True).first.click()
    expect(page.get_by_role("heading", name="Share over the last hour")).to_be_visible()
    page.get_by_role("link", name="Edit", exact=True).click()
    page.locator("[name=name]").fill("Acme Inc.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".console-title")).to_contain_text("Acme Inc.")
    with all_tenants():
        assert Tenant.objects.get(pk=acme.pk).name == "Acme Inc."
        Tenant.objects.filter(pk=acme.pk).update(name=acme.name)
