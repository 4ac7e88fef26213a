"""The WSGI entry point."""

import gc
import os

from django.core.wsgi import get_wsgi_application

from jobsplatform.health.starting import require_fit_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")

application = get_wsgi_application()
require_fit_web()
# What is loaded by now stays: without this, each full collection walks it, in the middle of some request.
gc.freeze()
