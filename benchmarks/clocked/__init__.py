"""An app that clocks where a slot's time goes while documents are indexed; in the benchmark's own workers only."""
