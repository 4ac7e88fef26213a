"""The console's language: by cookie, then by the browser's header."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}


def test_console_follows_the_browsers_language(console: Callable[[User], Client], staff: User) -> None:
    page = console(staff).get(reverse("admin:index"), headers=CHINESE).content.decode()
    assert 'lang="zh-hans"' in page
    for words in ("概览", "失败", "租户", "公平", "跳到正文"):
        assert words in page
    assert ">Overview<" not in page


def test_console_is_english_for_unsupported_languages(console: Callable[[User], Client], staff: User) -> None:
    page = console(staff).get(reverse("admin:index"), headers={"Accept-Language": "fr"}).content.decode()
    assert 'lang="en"' in page
    assert "Dead letters" in page


def test_account_menu_switches_the_language_and_the_cookie_keeps_it(
    console: Callable[[User], Client], staff: User
) -> None:
    client = console(staff)
    page = client.get(reverse("admin:index")).content.decode()
    assert f'action="{reverse("set_language")}"' in page
    answer = client.post(reverse("set_language"), {"language": "zh-hans", "next": reverse("admin:index")})
    assert (answer.status_code, answer.headers["Location"]) == (302, reverse("admin:index"))
    assert "概览" in client.get(reverse("admin:index")).content.decode()
    client.post(reverse("set_language"), {"language": "en", "next": "/admin/"}, headers=CHINESE)
    assert "Overview" in client.get(reverse("admin:index"), headers=CHINESE).content.decode()


def test_columns_fields_and_acts_are_translated(console: Callable[[User], Client], staff: User) -> None:
    client = console(staff)
    jobs = client.get(reverse("admin:scheduling_job_changelist"), headers=CHINESE).content.decode()
    assert "种类" in jobs
    plan = client.get(reverse("admin:tenants_plan_changelist"), headers=CHINESE).content.decode()
    assert "套餐" in plan
    queues = client.get(reverse("admin:scheduling_queue_add"), headers=CHINESE).content.decode()
    assert "小写字母、数字、连字符和下划线" in queues


def test_language_switch_redirects_to_no_other_host(console: Callable[[User], Client], staff: User) -> None:
    answer = console(staff).post(reverse("set_language"), {"language": "en", "next": "https://evil.example/"})
    assert answer.headers["Location"] == "/"
