"""Log-ins: throttled, unlocked, expired, and ended everywhere when required."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from redis import RedisError
from rest_framework.test import APIClient

from tenants.access.locked_names import locked_until, unlock_user
from tenants.access.sessions import BEGAN_AT, SEEN_AT
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tenants.settings.service import change_settings
from tests.conftest import PASSWORD
from tests.keys import issue_api_key
from tests.platform_settings import override_platform_settings

pytestmark = pytest.mark.django_db
API = "/api/v1/"
LOGIN = "/admin/login/"
LIMIT = 5


def log_in(client: Client, name: str = "alice", password: str = PASSWORD, **extra: str) -> Any:
    return client.post(LOGIN, {"username": name, "password": password}, **extra)


def fail(times: int, name: str = "alice", **extra: str) -> Any:
    answer = None
    for _ in range(times):
        answer = log_in(Client(), name, "wrong", **extra)
    return answer


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


class TestThrottling:
    def test_name_is_locked_out_from_an_address_after_repeated_failures(self, acme_user: User) -> None:
        assert fail(LIMIT - 1).status_code == 200
        assert fail(1).status_code == 429
        client = Client()
        answer = log_in(client)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "900"
        assert 'id="locked-out"' in answer.content.decode()
        assert not is_in(client)

    def test_lockout_affects_neither_other_addresses_nor_other_names(self, acme_user: User, staff: User) -> None:
        fail(LIMIT)
        assert log_in(Client(), REMOTE_ADDR="192.0.2.7").status_code == 302
        assert log_in(Client(), "stella").status_code == 302

    def test_unknown_name_gets_the_same_answers(self, acme_user: User) -> None:
        known, unknown = fail(LIMIT), fail(LIMIT, "unknown")
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)

    def test_right_password_resets_the_failures(self, acme_user: User) -> None:
        fail(LIMIT - 1)
        assert log_in(Client()).status_code == 302
        assert fail(LIMIT - 1).status_code == 200

    def test_lockout_expires_and_further_attempts_do_not_prolong_it(self, acme_user: User) -> None:
        fail(LIMIT)
        first = locked_until(acme_user)
        fail(3)
        assert locked_until(acme_user) == first
        AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(seconds=901))
        assert locked_until(acme_user) is None
        assert log_in(Client()).status_code == 302

    def test_unlock_by_an_admin_is_audited(self, acme_user: User) -> None:
        fail(LIMIT)
        unlock_user(user=acme_user, reason="called")
        assert locked_until(acme_user) is None
        assert log_in(Client()).status_code == 302
        with all_tenants():
            assert AuditLogEntry.objects.get(action="user.unlocked").reason == "called"

    def test_unlock_command_lets_a_name_log_in_again(self, acme_user: User) -> None:
        fail(LIMIT)
        call_command("unlock_login", "alice", "--reason", "called")
        assert log_in(Client()).status_code == 302

    def test_failed_attempt_stores_no_password_and_no_csrf_token(self, acme_user: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.get(LOGIN)
        token = client.cookies["csrftoken"].value
        client.post(LOGIN, {"username": "alice", "password": "my-other-secret", "csrfmiddlewaretoken": token})
        attempt = AccessAttempt.objects.get()
        assert "my-other-secret" not in str(attempt.__dict__)
        assert token not in str(attempt.__dict__)

    def test_client_address_behind_a_proxy_is_the_one_that_it_saw(self, acme_user: User) -> None:
        with override_platform_settings(TRUSTED_PROXY_HOPS=1):
            # Further left is the client's own claim, which is ignored.
            for number in range(LIMIT):
                answer = fail(1, HTTP_X_FORWARDED_FOR=f"198.51.100.{number}, 203.0.113.9", REMOTE_ADDR="10.0.0.1")
            assert answer.status_code == 429
            assert log_in(Client(), HTTP_X_FORWARDED_FOR="203.0.113.9", REMOTE_ADDR="10.0.0.1").status_code == 429
            assert log_in(Client(), HTTP_X_FORWARDED_FOR="203.0.113.8", REMOTE_ADDR="10.0.0.1").status_code == 302


def fail_from_everywhere(times: int, name: str = "alice") -> Any:
    """Fail once from each of so many addresses."""
    answer = None
    for number in range(times):
        answer = fail(1, name, REMOTE_ADDR=f"198.51.100.{number}")
    return answer


class TestAccountLimit:
    ACCOUNT_LIMIT = 6

    @pytest.fixture(autouse=True)
    def limit(self) -> Iterator[None]:
        with override_platform_settings(LOGIN_ACCOUNT_FAILURE_LIMIT=self.ACCOUNT_LIMIT):
            yield

    def test_name_is_locked_out_everywhere_after_failures_from_many_addresses(self, acme_user: User) -> None:
        assert fail_from_everywhere(self.ACCOUNT_LIMIT).status_code == 200
        answer = log_in(Client(), REMOTE_ADDR="192.0.2.7")
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "300"
        assert 'id="locked-out"' in answer.content.decode()

    def test_unknown_name_gets_the_same_answer(self, acme_user: User) -> None:
        known, unknown = (fail_from_everywhere(self.ACCOUNT_LIMIT + 1, name) for name in ("alice", "unknown"))
        assert known.status_code == 429
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)

    def test_account_lockout_expires_and_refused_log_ins_do_not_prolong_it(self, acme_user: User) -> None:
        fail_from_everywhere(self.ACCOUNT_LIMIT)
        until = locked_until(acme_user)
        assert until is not None
        fail(3, REMOTE_ADDR="192.0.2.7")
        assert locked_until(acme_user) == until
        AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(seconds=301))
        assert locked_until(acme_user) is None
        assert log_in(Client(), REMOTE_ADDR="192.0.2.7").status_code == 302

    def test_known_browser_is_exempt_only_from_the_account_limit(self, acme_user: User) -> None:
        known = Client()
        log_in(known)
        known.post(reverse("admin:logout"))
        fail_from_everywhere(self.ACCOUNT_LIMIT)
        for _ in range(LIMIT - 1):
            assert log_in(known, password="wrong").status_code == 200
        assert log_in(known).status_code == 302
        for _ in range(LIMIT):
            answer = log_in(known, password="wrong")
        assert answer.status_code == 429
        assert log_in(known).status_code == 429

    def test_foreign_or_forged_device_cookie_exempts_from_nothing(self, acme_user: User, staff: User) -> None:
        other, forger = Client(), Client()
        log_in(other, "stella")
        log_in(forger)
        value = forger.cookies["device"].value
        forger.cookies["device"] = value.replace(value[0], "9", 1)
        fail_from_everywhere(self.ACCOUNT_LIMIT)
        assert log_in(other).status_code == 429
        assert log_in(forger).status_code == 429

    def test_device_cookie_is_invalid_after_a_new_password(self, acme_user: User) -> None:
        stolen = Client()
        log_in(stolen)
        acme_user.set_password("another long pass-phrase")
        acme_user.save()
        fail_from_everywhere(self.ACCOUNT_LIMIT)
        assert log_in(stolen, password="another long pass-phrase").status_code == 429

    def test_browser_used_by_two_accounts_is_known_to_both(self, acme_user: User, staff: User) -> None:
        shared = Client()
        log_in(shared)
        log_in(shared, "stella")
        fail_from_everywhere(self.ACCOUNT_LIMIT)
        assert log_in(shared).status_code == 302

    def test_log_in_elsewhere_resets_no_failures_of_other_addresses(self, acme_user: User) -> None:
        fail_from_everywhere(self.ACCOUNT_LIMIT - 1)
        assert log_in(Client(), REMOTE_ADDR="192.0.2.7").status_code == 302
        fail(1, REMOTE_ADDR="192.0.2.8")
        assert log_in(Client(), REMOTE_ADDR="192.0.2.9").status_code == 429

    def test_unlock_by_an_admin_lifts_the_account_lockout(self, acme_user: User) -> None:
        fail_from_everywhere(self.ACCOUNT_LIMIT)
        unlock_user(user=acme_user)
        assert log_in(Client(), REMOTE_ADDR="192.0.2.7").status_code == 302

    def test_limit_of_zero_is_disabled(self, acme_user: User) -> None:
        with override_platform_settings(LOGIN_ACCOUNT_FAILURE_LIMIT=0):
            fail_from_everywhere(self.ACCOUNT_LIMIT + 1)
            assert log_in(Client()).status_code == 302


class TestSessions:
    def test_log_in_gets_a_new_session_key(self, acme_user: User) -> None:
        client = Client()
        session = client.session
        session["before"] = 1
        session.save()
        before = session.session_key
        client.cookies["sessionid"] = before
        log_in(client)
        assert client.cookies["sessionid"].value != before
        assert not Session.objects.filter(pk=before).exists()

    @pytest.mark.parametrize(
        ("began", "seen", "stays"),
        [(100, 100, True), (43_190, 60, True), (43_210, 60, False), (7_210, 7_210, False), (7_210, 100, True)],
    )
    def test_session_ends_at_its_maximum_age_and_when_idle(
        self, acme_user: User, began: int, seen: int, stays: bool
    ) -> None:
        client = Client()
        log_in(client)
        now = int(time.time())
        session = client.session
        session[BEGAN_AT], session[SEEN_AT] = now - began, now - seen
        session.save()
        assert is_in(client) is stays
        assert Session.objects.filter(pk=session.session_key).exists() is stays

    @pytest.mark.parametrize(
        ("hours", "began", "seen", "stays"),
        [
            ({"sessions.hours": 1}, 3_590, 60, True),
            ({"sessions.hours": 1}, 3_610, 60, False),
            ({"sessions.idle_hours": 1}, 7_000, 3_590, True),
            ({"sessions.idle_hours": 1}, 7_000, 3_610, False),
            ({"sessions.idle_hours": 24, "sessions.hours": 24}, 7_210, 7_210, False),
            ({"sessions.idle_hours": 24, "sessions.hours": 24}, 43_210, 60, False),
        ],
    )
    def test_tenant_shortens_the_sessions_of_its_members_only(
        self,
        acme: Tenant,
        acme_user: User,
        globex_user: User,
        hours: dict[str, int],
        began: int,
        seen: int,
        stays: bool,
    ) -> None:
        change_settings(tenant=acme, values=hours)
        by_globex = began <= 43_200 and seen <= 7_200
        for name, expected in (("alice", stays), ("greta", by_globex)):
            client = Client()
            log_in(client, name)
            session = client.session
            session[BEGAN_AT], session[SEEN_AT] = int(time.time()) - began, int(time.time()) - seen
            session.save()
            assert is_in(client) is expected, name

    def test_automatic_requests_of_a_page_are_no_activity(self, acme_user: User) -> None:
        client = Client()
        log_in(client)
        session = client.session
        session[SEEN_AT] -= 120
        session.save()
        client.get(reverse("admin:overview_fragment"), headers={"HX-Request": "true"})
        assert client.session[SEEN_AT] == session[SEEN_AT]
        is_in(client)
        assert client.session[SEEN_AT] > session[SEEN_AT]

    def test_session_without_timestamps_counts_from_now(self, acme_user: User) -> None:
        client = Client()
        log_in(client)
        session = client.session
        del session[BEGAN_AT], session[SEEN_AT]
        session.save()
        assert is_in(client)
        assert client.session[BEGAN_AT] <= time.time()

    def test_new_password_ends_the_other_sessions_and_is_audited(self, acme_user: User) -> None:
        here, elsewhere = Client(), Client()
        log_in(here)
        log_in(elsewhere)
        page = here.get(reverse("admin:password_change"))
        assert page.status_code == 200
        form = {"old_password": PASSWORD, "new_password1": "another long pass-phrase", "new_password2": "x"}
        assert here.post(reverse("admin:password_change"), form).status_code == 200
        form["new_password2"] = form["new_password1"]
        assert here.post(reverse("admin:password_change"), form).status_code == 302
        assert is_in(here)
        assert not is_in(elsewhere)
        with all_tenants():
            assert AuditLogEntry.objects.get(action="user.password_changed").actor_label == "alice"

    def test_weak_password_is_refused(self, acme_user: User) -> None:
        client = Client()
        log_in(client)
        form = {"old_password": PASSWORD, "new_password1": "password12", "new_password2": "password12"}
        assert client.post(reverse("admin:password_change"), form).status_code == 200
        assert User.objects.get(username="alice").check_password(PASSWORD)

    def test_cookies_are_httponly_and_samesite(self, acme_user: User) -> None:
        client = Client()
        client.get(LOGIN)
        log_in(client)
        for name in ("sessionid", "csrftoken", "device"):
            cookie = client.cookies[name]
            assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")


class TestWrongKeys:
    @pytest.fixture(autouse=True)
    def limit(self, request: pytest.FixtureRequest) -> Iterator[None]:
        # An address for this test only: all tests share one cache.
        self.address = f"2001:db8:{abs(hash(request.node.name)) % 0xFFFF:x}::1"
        with override_platform_settings(WRONG_KEYS_PER_MINUTE=3):
            yield

    def guess(self, token: str = "jp0123456789." + "x" * 43) -> Any:
        return APIClient().get(f"{API}jobs/", headers={"Authorization": f"Api-Key {token}"}, REMOTE_ADDR=self.address)

    def test_wrong_keys_are_throttled_and_right_keys_are_not(self, acme: Any) -> None:
        token = issue_api_key(tenant=acme, name="x").token
        # The test may span two minutes, so that one more may be counted.
        statuses = [self.guess().status_code for _ in range(8)]
        assert statuses[:3] == [401, 401, 401]
        assert statuses[-1] == 429
        answer = self.guess()
        assert answer.json()["code"] == "too_many_wrong_keys"
        assert answer.headers["Retry-After"] == "60"
        assert self.guess(token).status_code == 200

    def test_wrong_keys_without_the_cache_are_401(self, acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any, **options: Any) -> None:
            raise RedisError("gone")

        monkeypatch.setattr("tenants.access.lockouts.cache.add", refuse)
        assert [self.guess().status_code for _ in range(6)] == [401] * 6
