"""The WSGI entry point."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")

application = get_wsgi_application()
# What is loaded by now stays: without this, each full collection walks it, in the middle of some request.
gc.freeze()
