"""Site of the console: navigation, error pages, log-in."""
