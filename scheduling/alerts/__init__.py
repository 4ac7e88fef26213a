"""Alerts: rules over measured values, and notices to the contacts that they concern."""
