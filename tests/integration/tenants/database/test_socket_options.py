"""The socket options of the open connection."""

from __future__ import annotations

import socket

import pytest
from django.db import connection

from tenants.database.options import connection_options

pytestmark = pytest.mark.django_db


def test_open_connection_has_keepalive_and_timeout_options() -> None:
    connection.ensure_connection()
    options = connection_options()
    # The driver keeps the descriptor.
    with socket.fromfd(connection.connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as duplicate:
        assert duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == options["keepalives"]
        found = {
            "keepalives_idle": socket.TCP_KEEPIDLE,
            "keepalives_interval": socket.TCP_KEEPINTVL,
            "keepalives_count": socket.TCP_KEEPCNT,
            "tcp_user_timeout": socket.TCP_USER_TIMEOUT,
        }
        for name, number in found.items():
            assert duplicate.getsockopt(socket.IPPROTO_TCP, number) == options[name], name
