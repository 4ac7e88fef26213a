"""The engine of workflow runs: which nodes are ready, what their results change, the run's state. The code is pure."""
