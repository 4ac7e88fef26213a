"""The job kind workflow_execution: runs of workflows, which are graphs of nodes that tenants write as JSON."""
