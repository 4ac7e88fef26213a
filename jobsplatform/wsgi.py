"""WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from jobsplatform.health.startup_checks import run_web_startup_checks
from jobsplatform.preloading import preload_web
from jobsplatform.request_heads import RequestHeadLimiter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")

application = RequestHeadLimiter(get_wsgi_application())
run_web_startup_checks()
preload_web()
