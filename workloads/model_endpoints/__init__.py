"""Endpoints of models that speak OpenAI's API: no plug-in, but what any job kind may ask."""
