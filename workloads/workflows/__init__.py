"""The kind workflow_execution: graphs of nodes that tenants write as JSON, run step by step."""
