"""The backend of DATABASES: Django takes the class of this name from the module of this name."""

from __future__ import annotations

import select
from typing import override

from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own; what it does differently is to ask the system whether the server has hung up, not the server."""

    @override
    def is_usable(self) -> bool:
        """Whether the connection still lives, as every request that finds one open asks first.

        A server that ends a session says so, and closes the socket: there is something to read, where there never is
        on a connection that rests. Only then it is asked, and after an error. One that has vanished without a word
        would have kept the question waiting as long as it will keep the first statement.
        """
        if self.connection is None or self.connection.closed:
            return False
        if self.errors_occurred or self.connection.info.transaction_status != TransactionStatus.IDLE:
            return super().is_usable()
        watched = select.poll()
        watched.register(self.connection.fileno(), select.POLLIN)
        return super().is_usable() if watched.poll(0) else True
