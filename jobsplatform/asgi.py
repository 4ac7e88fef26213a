"""ASGI entry point."""

import os
import warnings

from django.core.asgi import get_asgi_application

from jobsplatform.health.startup_checks import run_web_startup_checks
from jobsplatform.preloading import preload_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")

# The only streaming response under ASGI is short and is created in a thread of its request.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

django_application = get_asgi_application()

# After the apps are loaded, because it looks up credentials.
from jobsplatform.asgi_limits import RequestLimiter  # noqa: E402

application = RequestLimiter(django_application)
run_web_startup_checks()
preload_web()
