"""Extensions that a configuration can name.

Reading order:

- `identity`: identity functions, for the option `identity`.
- `hole_functions`: functions that fill holes, for the option `holes`.
- `graphql`: GraphQL requests, for the option `body = "graphql"`.
"""
