"""The syntax of values and tables in a configuration.

Reading order:

- `decode`: options, tables of options, and the decoder that finds every mistake.
- `values`: the parsers of single values.
- `cookie_names`: names of cookies, and patterns of them.
- `table_names`: names of database tables and of keys in Django's cache, and patterns of them.
- `function_names`: names of database functions, and patterns of them.
- `units`: durations and sizes.
- `template`: path templates of routes.
- `hosts`: hosts and ports, and the URLs of webhooks.
- `redis_url`: Redis URLs.
- `flag`: the states of flags, and shares of requests.
- `dependencies`: dependencies between tags.
- `messages`: how values and allowed choices appear in error messages.
- `raw_types`: the types of values before they are parsed.
"""
