"""The console's own pages, drawn from selectors."""
