"""Usable connections: a request whose session the server has ended gets another one."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.integration.sessions import backend_pid, terminate_own

pytestmark = pytest.mark.django_db(transaction=True)


def test_request_after_the_server_has_ended_the_session_gets_another() -> None:
    before = backend_pid()
    terminate_own()
    connection.close_if_unusable_or_obsolete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone()[0] != before
