"""Values and tables of the engine. They do no I/O and know no clock.

Reading order:

- `holes`: places in a stored body that are filled for each client.
- `entry`: what the tiers store: entries and Vary markers.
- `keys`: the encoding and the digests of keys.
- `tags`: the names that purges use.
- `row_tags`: digests in place of the texts in tags of rows.
- `routes`: routes as the engine runs them.
- `router`: finding the route of a path.
- `query`: the query as a route reads it.
- `plan`: everything about a target that is worked out once.
- `variants`: all of the logic of Vary.
- `outcomes`: how a request can be answered.
- `reasons`: why a request was forwarded, or a response was not stored.
- `differences`: comparing two responses, for routes in shadow.
"""
