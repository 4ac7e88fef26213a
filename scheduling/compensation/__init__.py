"""Compensations: jobs that undo the finished work of a workflow run or a batch that has failed or was cancelled."""
