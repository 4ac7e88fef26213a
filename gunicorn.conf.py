"""Settings of gunicorn for every way of starting the web server; gunicorn reads this file from its working directory.

Source: https://gunicorn.org/reference/settings/
"""

worker_class = "jobsplatform.web_worker.SlowClientWorker"
# Seconds an idle connection stays open. Longer than clients and load balancers keep theirs (5 s to a minute): with
# gunicorn's 2 s the server closes it, sometimes just as a request is sent, and the client cannot tell whether it
# arrived.
keepalive = 75
# Bytes of the request line, number of headers, and bytes of one header: longer ones get 414 or 431 and are not read.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190


def post_worker_init(worker: object) -> None:
    """Load the models of the installed apps, such as that of searches, while the new process already serves."""
    from jobsplatform.preloading import preload_models

    preload_models()


# No socket for `gunicornc`: the platform is operated from the console, and the home directory is read-only.
control_socket_disable = True
