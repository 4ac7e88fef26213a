"""TCP proxy on loopback that causes network faults."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

CHUNK = 65_536
# Time in which the listener and its threads notice that they must end.
JOIN_SECONDS = 5.0
_LINGER_AND_RESET = struct.pack("ii", 1, 0)


class Pair:
    """One connection: the sockets of client and server."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
        self.is_frozen = False

    def reset(self) -> None:
        """Send a RST to both ends: data in transit is lost."""
        self.is_frozen = True
        for end in (self.near, self.far):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AND_RESET)
                # Send nothing, and wake the reading thread: the socket is closed only after the thread has released it.
                end.shutdown(socket.SHUT_RD)
            end.close()


# Arguments: the connection, whether the bytes come from the server, and the bytes; False: reset the connection.
type Tap = Callable[[Pair, bool, bytes], bool]


class Proxy:
    """Proxy that passes bytes to ``target`` and back, with faults on request."""

    def __init__(self, target: tuple[str, int], *, tap: Tap | None = None) -> None:
        self._target = target
        self._tap = tap
        self._pairs: list[Pair] = []
        self._delay_seconds = 0.0
        self._is_hole = False
        self._listener = self._listen(0)

    @property
    def port(self) -> int:
        return self._port

    def freeze(self) -> int:
        """Leave all present connections half-open: neither end receives anything; return their number."""
        for pair in self._pairs:
            pair.is_frozen = True
        return len(self._pairs)

    def delay(self, seconds: float) -> None:
        """Delay all further bytes by this much; 0 ends the delay."""
        self._delay_seconds = seconds

    def reset(self) -> int:
        """End all present connections with a RST; return their number."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.reset()
        return len(pairs)

    def lead_to(self, target: tuple[str, int]) -> None:
        """Reset all present connections, and connect new ones to another server."""
        self._target = target
        self.reset()

    def refuse(self) -> None:
        """Refuse new connections, as an absent server does; present ones remain."""
        with suppress(OSError):
            # This wakes a thread that waits in accept(); closing would not.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(JOIN_SECONDS)

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        self._listener = self._listen(self._port)

    def blackhole(self, *, is_on: bool = True) -> None:
        """Discard all bytes, of new connections too, without an error for either end."""
        self._is_hole = is_on
        if not is_on:
            # A connection that lost bytes must be opened again.
            self.reset()

    def close(self) -> None:
        self.refuse()
        for pair in self._pairs:
            for end in (pair.near, pair.far):
                # A thread that reads from it would keep the connection open.
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        self._port = int(listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._accepting.start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                try:
                    far = socket.create_connection(self._target)
                except OSError:
                    near.close()
                    continue
                pair = Pair(near, far)
                self._pairs.append(pair)
                for is_reply in (False, True):
                    threading.Thread(target=self._pass, args=(pair, is_reply), daemon=True).start()

    def _pass(self, pair: Pair, is_reply: bool) -> None:
        source, sink = (pair.far, pair.near) if is_reply else (pair.near, pair.far)
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if pair.is_frozen or self._is_hole:
                    continue
                if self._tap is not None and not self._tap(pair, is_reply, data):
                    pair.reset()
                    return
                if self._delay_seconds:
                    time.sleep(self._delay_seconds)
                sink.sendall(data)
        if not pair.is_frozen:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
