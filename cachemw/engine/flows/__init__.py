"""The flows: what happens to one request, from its arrival to the end of its response.

Reading order:

- `on_request`: serve a stored response, or forward the request to the application.
- `on_response`: what is sent for the application's response, and whether it is stored.
- `shadowing`: routes in shadow, whose responses are only compared.
- `proposing`: what they would do with other cookie rules.
"""
