"""Django settings, imported from one module for each topic."""

from jobsplatform.settings.accounts import *
from jobsplatform.settings.base import *
from jobsplatform.settings.celery import *
from jobsplatform.settings.console import *
from jobsplatform.settings.files import *
from jobsplatform.settings.observability import *
from jobsplatform.settings.product import *
from jobsplatform.settings.rest import *
