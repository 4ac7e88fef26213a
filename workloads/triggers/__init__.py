"""Webhook triggers: signed requests of other systems that start a job, a job template or a workflow."""
