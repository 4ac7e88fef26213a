"""What every way of starting the web server shares; gunicorn reads this file by itself where it is started.

Source: https://gunicorn.org/reference/settings/
"""

worker_class = "jobsplatform.web_worker.SlowClientWorker"
# Seconds an idle connection stays open. Longer than clients and load balancers keep theirs (5 s to a minute): with
# gunicorn's 2 s it is the server that closes, sometimes just as a request sets out, and nobody knows if it arrived.
keepalive = 75
# Bytes of a request's first line, how many headers it has, and bytes of one: what is longer is 414 or 431 and not read.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
# No socket for `gunicornc`: the platform is operated from the console, and a read-only home has no room for it.
control_socket_disable = True
