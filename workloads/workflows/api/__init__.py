"""The REST API of workflows, their versions and runs, and approvals."""
