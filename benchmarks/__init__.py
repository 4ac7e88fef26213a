"""What is measured, runnable by anyone: `make bench`, or one of them with `python -m benchmarks recall`."""
