"""gunicorn's settings in the demo, in a file: there it passes over names it does not know."""

bind = "127.0.0.1:0"
worker_class = "gthread"
threads = 16
keepalive = 75
control_socket_disable = True
"""The socket would be a file in the user's home."""
