"""Clients of model endpoints with OpenAI's API, usable by any job kind. It has no kinds of its own."""
