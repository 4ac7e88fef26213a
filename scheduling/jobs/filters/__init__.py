"""The filter grammar for jobs, used by lists, commands, saved views and bulk operations.

``parse("state:discarded queue:pipeline age:>1h")`` returns a `JobFilter`; docs/reference/filters.md has the grammar.
"""

from scheduling.jobs.filters.fields import FIELDS
from scheduling.jobs.filters.job_filter import JobFilter, parse
from scheduling.jobs.filters.syntax import FilterSyntaxError
from scheduling.jobs.filters.terms import Term

__all__ = ["FIELDS", "FilterSyntaxError", "JobFilter", "Term", "parse"]
