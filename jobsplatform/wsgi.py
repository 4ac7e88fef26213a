"""The WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from jobsplatform.heads import BoundedHeads
from jobsplatform.health.starting import require_fit_web
from jobsplatform.preloading import preload_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")

application = BoundedHeads(get_wsgi_application())
require_fit_web()
preload_web()
