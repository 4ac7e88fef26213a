"""``manage.py`` whose process gets SIGTERM after it has written the head of a message to a child."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from billiard.connection import Connection

HEAD_BYTES = 4
_write = Connection.send_offset


def write_and_interrupt(self: Any, buffer: memoryview, offset: int) -> int:
    """Write as billiard does; the signal handler runs before this returns."""
    sent: int = _write(self, buffer, offset)
    if len(buffer) == HEAD_BYTES:
        Connection.send_offset = _write
        os.kill(os.getpid(), signal.SIGTERM)
    return sent


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    Connection.send_offset = write_and_interrupt

    from manage import main

    main()
