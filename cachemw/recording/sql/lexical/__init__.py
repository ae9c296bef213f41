"""The words of SQL statements, before they are parsed.

Reading order:

- `tokens`: the normalised text, alike for every length of a list.
- `folding`: how lists are made alike.
- `words`: names, keywords, values and brackets, with their places.
- `calls`: the calls of functions among them.
- `rewriting`: the text as the parser surely understands it.
- `parsing`: calls of the parser, bounded in time.
- `shapes`: the text without its values, for a log.
"""
