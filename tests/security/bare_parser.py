"""The extraction child on a kernel that offers no sandbox."""

from __future__ import annotations

import sys

from scheduling.processors.retrieval.extraction import child
from scheduling.sandbox import layers

if __name__ == "__main__":
    layers._layers = lambda packages: {}  # type: ignore[attr-defined]
    sys.exit(child.main(sys.argv[1:]))
