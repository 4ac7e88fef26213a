"""One grammar by which jobs are chosen, wherever they are: in lists, in commands, in saved views and in bulk acts.

``parse("state:discarded queue:pipeline age:>1h")`` gives a `JobFilter`; docs/reference/filters.md has the grammar.
"""

from scheduling.jobs.filters.fields import FIELDS
from scheduling.jobs.filters.job_filter import JobFilter, parse
from scheduling.jobs.filters.syntax import FilterSyntaxError
from scheduling.jobs.filters.terms import Term

__all__ = ["FIELDS", "FilterSyntaxError", "JobFilter", "Term", "parse"]
