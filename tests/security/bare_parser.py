"""Extraction child on a kernel without a sandbox."""

from __future__ import annotations

import sys

from scheduling.sandbox import layers
from workloads.documents.extraction import child

if __name__ == "__main__":
    layers._layers = lambda packages: {}  # type: ignore[attr-defined]
    sys.exit(child.main(sys.argv[1:]))
