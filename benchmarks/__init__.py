"""Benchmarks on one harness: `make bench`, or `python -m benchmarks NAME` against servers that run."""
