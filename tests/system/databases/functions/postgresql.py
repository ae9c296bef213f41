"""The functions of PostgreSQL and of extensions that come with it, and of PostGIS.

From the catalogue `pg_proc`: a name is taken where every function of this name is IMMUTABLE or STABLE, or is
in `HARMLESS`. That is not enough, so what is left out or reads tables is listed here, after a review of all
STABLE and VOLATILE functions of PostgreSQL 15 and of these extensions.
"""

from __future__ import annotations

from tests.system.databases.functions.names import Query, listed

__all__ = ["EXTENSIONS", "read"]

EXTENSIONS = (
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "postgis",
    "seg",
    "unaccent",
    "uuid-ossp",
)
"""Extensions that applications use. `tablefunc`, `dblink` and `xml2` run queries that are given as a text,
`lo` changes large objects, and `postgis_raster` and `postgis_topology` read and write tables."""

READING = listed(
    """
    cursor_to_xml cursor_to_xmlschema database_to_xml database_to_xml_and_xmlschema database_to_xmlschema
    query_to_xml query_to_xml_and_xmlschema query_to_xmlschema schema_to_xml schema_to_xml_and_xmlschema
    schema_to_xmlschema table_to_xml table_to_xml_and_xmlschema table_to_xmlschema ts_rewrite ts_stat
    currtid2 lo_close lo_export lo_get lo_lseek lo_lseek64 lo_open lo_tell lo_tell64 loread
    st_estimatedextent st_findextent
    """
)
"""Functions that read a table which is named by an argument, that run a query given as a text (PostgreSQL
runs it read-only), or that read large objects."""

HARMLESS = listed(
    """
    brin_desummarize_range brin_summarize_new_values brin_summarize_range gin_clean_pending_list
    clock_timestamp current_query currval gen_random_uuid lastval nextval random setseed setval timeofday
    pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all
    pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock
    pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
    pg_backup_start pg_backup_stop pg_blocking_pids pg_cancel_backend pg_collation_actual_version
    pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system pg_create_restore_point
    pg_current_logfile pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn
    pg_database_collation_actual_version pg_database_size pg_export_snapshot
    pg_get_backend_memory_contexts pg_get_multixact_members pg_get_shmem_allocations
    pg_get_wal_replay_pause_state pg_get_wal_resource_managers pg_hba_file_rules pg_ident_file_mappings
    pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused pg_isolation_test_session_is_blocked
    pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn pg_last_wal_replay_lsn
    pg_last_xact_replay_timestamp pg_lock_status pg_log_backend_memory_contexts pg_logical_emit_message
    pg_ls_archive_statusdir pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir
    pg_ls_replslotdir pg_ls_tmpdir pg_ls_waldir pg_notification_queue_usage pg_notify
    pg_partition_ancestors pg_partition_tree pg_prepared_xact pg_promote pg_relation_size pg_reload_conf
    pg_rotate_logfile pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_show_all_file_settings
    pg_show_replication_origin_status pg_sleep pg_sleep_for pg_sleep_until pg_stat_clear_snapshot
    pg_stat_file pg_stat_force_next_flush pg_stat_get_recovery_prefetch pg_stat_get_xact_blocks_fetched
    pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time
    pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted
    pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted
    pg_stat_get_xact_tuples_returned pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_stat_reset
    pg_stat_reset_replication_slot pg_stat_reset_shared pg_stat_reset_single_function_counters
    pg_stat_reset_single_table_counters pg_stat_reset_slru pg_stat_reset_subscription_stats pg_switch_wal
    pg_table_size pg_tablespace_size pg_terminate_backend pg_total_relation_size pg_wal_replay_pause
    pg_wal_replay_resume pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status
    set_config txid_status gen_random_bytes gen_salt pgp_pub_encrypt pgp_pub_encrypt_bytea
    pgp_sym_encrypt pgp_sym_encrypt_bytea set_limit uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4
    postgis_cache_bbox st_clusterkmeans st_generatepoints st_symmetricdifference
    """
)
"""VOLATILE functions that touch no row of an application: sequences, locks, time, chance, settings,
notifications, sizes and statistics."""

LEFT_OUT = listed(
    """
    delete difference each exist index is_valid latitude longitude make_valid slice sort sort_asc
    sort_desc subarray uniq st_fromflatgeobuftotable find_srid
    """
)
"""Functions of extensions that are called like one of an application's own might be, and one that makes a
table although it says that it does not."""

NEWER = listed(
    """
    array_reverse array_sample array_shuffle array_sort any_value casefold crc32 crc32c date_add
    date_subtract erf erfc gamma json json_array json_arrayagg json_exists json_object json_objectagg
    json_query json_scalar json_serialize json_table json_value lgamma merge_action
    pg_column_toast_chunk_id pg_get_acl pg_get_loaded_modules pg_get_wait_events pg_input_error_info
    pg_input_is_valid pg_ls_summariesdir pg_numa_available pg_wal_summary_contents
    pg_available_wal_summaries pg_basetype pg_stat_get_io pg_stat_get_backend_io random_normal
    system_user to_bin to_oct to_regtypemod unicode_assigned unicode_version icu_unicode_version
    uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 xmltext bit_xor range_agg array_agg
    """
)
"""Functions of PostgreSQL 16, 17 and 18, from its release notes."""

STRUCTURE = listed(
    """
    by conflict ilike insert is isnull join materialized notnull operator rollup set sets similar
    tablesample zone
    """
)
"""Words before a bracket that are no function's name, though functions may be called so."""

_PROC = """
    SELECT proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
    WHERE {where} AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype,
      'language_handler'::regtype, 'fdw_handler'::regtype, 'index_am_handler'::regtype,
      'tsm_handler'::regtype, 'table_am_handler'::regtype, 'internal'::regtype)
      AND NOT 'internal'::regtype = ANY (proargtypes)
    GROUP BY proname HAVING bool_and(provolatile <> 'v' OR proname = ANY ('{{{harmless}}}'))
"""
_BUILT_IN = "n.nspname = 'pg_catalog'"
_OF_EXTENSION = """
    EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = '{name}'
      WHERE d.classid = 'pg_proc'::regclass AND d.objid = pg_proc.oid AND d.deptype = 'e')
    AND left(proname, 1) <> '_'
"""
_TYPES = """
    SELECT typname FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace
    WHERE nspname = 'pg_catalog' AND typtype IN ('b', 'd', 'm', 'r') AND left(typname, 1) <> '_'
"""
_KEYWORDS = "SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'C')"


def read(query: Query) -> dict[str, list[str]]:
    """Return the sections of the file, from a server."""
    harmless = ",".join(HARMLESS)
    pure = {*query(_PROC.format(where=_BUILT_IN, harmless=harmless))}
    pure |= {*query(_TYPES), *NEWER}
    for name in EXTENSIONS:
        query(f'CREATE EXTENSION IF NOT EXISTS "{name}" CASCADE')
        where = _OF_EXTENSION.format(name=name)
        pure |= {*query(_PROC.format(where=where, harmless=harmless))}
    return {
        "pure": sorted(pure - {*READING, *LEFT_OUT}),
        "reading": READING,
        "keywords": sorted({*query(_KEYWORDS), *STRUCTURE}),
        "schemas": ["pg_catalog"],
    }
