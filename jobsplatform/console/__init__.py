"""The console's site: navigation, error pages, log-in."""
