"""Analysis of SQL statements: what they read and write, and the tags that follow from it.

Reading order:

- `rows`: the tags of tables and rows, and the one spelling of a value in them.
- `ignored_tables`: tables that are not recorded.
- `observed`: the values that say what a statement reads and writes.
- `statements`: from the text of a statement to these values.
- `lexical`: the words of a statement, before it is parsed.
- `functions`: which functions touch no table.
- `syntax_trees`: what the parsed statement reads and writes.
- `conditions`: the conditions of a WHERE clause that restrict it to certain rows.
- `unparsed`: what a statement surely does that was not parsed.
- `definitions`: statements that define tables, or write all of them.
- `parameters`: the values of a statement's placeholders.
- `read_rows`: the tags of what a statement reads.
- `written_rows`: the tags that are purged for what statements write.
- `inserted`: keys that the database generated.
- `pending`: the changes of a transaction until it is committed.
"""
