"""Clients of model endpoints with OpenAI's API, for use by any job kind. The package declares no job kinds."""
