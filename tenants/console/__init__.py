"""Base classes of the console's pages."""
