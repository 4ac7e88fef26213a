"""Handling of HTTP requests: their bodies, slow clients and long polls."""
