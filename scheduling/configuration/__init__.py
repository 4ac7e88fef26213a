"""Rows that users configure: a topic declares their fields and checks; the service, console and API are the same."""
