"""The settings of gunicorn in the demo.

They are in a file and not on the command line because gunicorn ignores unknown names only in a
file, and older releases do not know all of these.
"""

bind = "127.0.0.1:0"
worker_class = "gthread"
threads = 16
keepalive = 75
control_socket_disable = True
"""Without this, gunicorn would create a socket file in the user's home."""
