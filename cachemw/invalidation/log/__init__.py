"""The invalidation log in Redis: a stream that every process follows.

Reading order:

- `records`: the records of the log and their encoding.
- `stream`: the Redis stream and the epoch that names its present life.
- `appender`: appends purges and waits for their confirmation.
- `followers`: the heartbeats of the processes that follow the log.
- `server_life`: the server that has the log, and since when.
- `presence`: the heartbeats of this process.
- `trust`: how long a process may trust its memory without a heartbeat.
- `follower`: `RedisLog`, the thread that follows the log.
- `trail`: repairs a log that lost records in a failover.
- `hooks`: the callbacks of the log into the rest of cachemw.
- `flag_document`: the live flags in Redis.
- `rollout_documents`: the rollout's state, history and lease in Redis.
"""
