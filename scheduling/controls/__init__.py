"""Controls: compliance rules that are checked when jobs are submitted, start, call other hosts, and end."""
