"""The console's site: menu, pages of refusals, log-in."""
