"""Extensions that a route can name in its configuration.

Reading order:

- `identity`: identity functions, for the option `identity`.
- `graphql`: GraphQL requests, for the option `body = "graphql"`.
"""
