"""The functions of MySQL and of MariaDB.

From `information_schema.SQL_FUNCTIONS` of MariaDB, and from the manuals of both where that is not complete:
it has none of the functions whose names are keywords, and none for geometry. Both databases share one table,
because drivers and frameworks hardly tell them apart.
"""

from __future__ import annotations

from tests.system.databases.functions.names import Query, listed

__all__ = ["read"]

READING = ["load_file"]
"""`LOAD_FILE` reads a file, which may be that of a table of the engine CSV."""

LEFT_OUT = ["concat_operator_oracle", "decode_oracle"]
"""Names that only the server's mode for Oracle uses."""

OF_KEYWORDS = listed(
    """
    adddate ascii avg bit_and bit_or bit_xor char charset coalesce collation contains convert count cube
    curdate current_date current_role current_time current_timestamp current_user curtime database date
    date_add date_sub day default distance dayofmonth exists extract format get_format grouping hour if
    ifnull insert interval json_table lastval left localtime localtimestamp microsecond minute mod month
    nextval now nullif password point position quarter repeat replace reverse right row_count row_number
    rownum schema second session_user setval soundex subdate substr substring sysdate system_user time
    timestamp timestampadd timestampdiff trim truncate unix_timestamp user utc_date utc_time
    utc_timestamp value values week weight_string year xor
    """
)

OF_MYSQL = listed(
    """
    any_value bin_to_uuid can_access_column can_access_database can_access_table current_role
    format_bytes format_pico_time gtid_subset gtid_subtract icu_version is_uuid json_schema_valid
    json_schema_validation_report json_storage_free json_storage_size json_table mbrcontains
    ps_current_thread_id ps_thread_id regexp_like roles_graphml source_pos_wait st_swapxy
    statement_digest statement_digest_text uuid_to_bin validate_password_strength
    wait_for_executed_gtid_set wait_until_sql_thread_after_gtids vector_dim vector_to_string
    string_to_vector to_vector from_vector distance
    """
)

OF_NEWER_MARIADB = listed(
    """
    json_array_intersect json_key_value json_object_filter_keys json_object_to_array json_schema_valid
    json_unquote st_geohash st_isvalid st_latfromgeohash st_longfromgeohash st_pointfromgeohash
    st_simplify st_validate mbrcoveredby vec_distance vec_distance_cosine vec_distance_euclidean
    vec_fromtext vec_totext uuid_v4 uuid_v7 format_pico_time to_number to_date
    """
)

GEOMETRY = listed(
    """
    area asbinary astext aswkb aswkt boundary buffer centroid contains convexhull crosses dimension
    disjoint endpoint envelope equals exteriorring geomcollfromtext geomcollfromwkb geometrycollection
    geometrycollectionfromtext geometrycollectionfromwkb geometryfromtext geometryfromwkb geometryn
    geometrytype geomfromtext geomfromwkb glength interiorringn intersects isclosed isempty isring
    issimple linefromtext linefromwkb linestring linestringfromtext linestringfromwkb mbrcontains
    mbrcoveredby mbrcovers mbrdisjoint mbrequal mbrequals mbrintersects mbroverlaps mbrtouches mbrwithin
    mlinefromtext mlinefromwkb mpointfromtext mpointfromwkb mpolyfromtext mpolyfromwkb multilinestring
    multilinestringfromtext multilinestringfromwkb multipoint multipointfromtext multipointfromwkb
    multipolygon multipolygonfromtext multipolygonfromwkb numgeometries numinteriorrings numpoints
    overlaps point pointfromtext pointfromwkb pointn pointonsurface polyfromtext polyfromwkb polygon
    polygonfromtext polygonfromwkb srid startpoint touches within x y st_area st_asbinary st_asgeojson
    st_astext st_aswkb st_aswkt st_boundary st_buffer st_buffer_strategy st_centroid st_collect
    st_contains st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance
    st_distance_sphere st_endpoint st_envelope st_equals st_exteriorring st_frechetdistance st_geohash
    st_geomcollfromtext st_geomcollfromtxt st_geomcollfromwkb st_geometrycollectionfromtext
    st_geometrycollectionfromwkb st_geometryfromtext st_geometryfromwkb st_geometryn st_geometrytype
    st_geomfromgeojson st_geomfromtext st_geomfromwkb st_hausdorffdistance st_interiorringn
    st_intersection st_intersects st_isclosed st_isempty st_isring st_issimple st_isvalid
    st_latfromgeohash st_latitude st_length st_linefromtext st_linefromwkb st_lineinterpolatepoint
    st_lineinterpolatepoints st_linestringfromtext st_linestringfromwkb st_longfromgeohash st_longitude
    st_makeenvelope st_mlinefromtext st_mlinefromwkb st_mpointfromtext st_mpointfromwkb st_mpolyfromtext
    st_mpolyfromwkb st_multilinestringfromtext st_multilinestringfromwkb st_multipointfromtext
    st_multipointfromwkb st_multipolygonfromtext st_multipolygonfromwkb st_numgeometries
    st_numinteriorring st_numinteriorrings st_numpoints st_overlaps st_pointatdistance
    st_pointfromgeohash st_pointfromtext st_pointfromwkb st_pointn st_pointonsurface st_polyfromtext
    st_polyfromwkb st_polygonfromtext st_polygonfromwkb st_relate st_simplify st_srid st_startpoint
    st_swapxy st_symdifference st_touches st_transform st_union st_validate st_within st_x st_y
    """
)
"""The old names without `ST_` are gone from MySQL, but not from MariaDB."""

LEFT_OUT_GEOMETRY = ["area", "contains", "distance", "x", "y", "within", "overlaps", "touches"]
"""Names of geometry that one of an application's own functions might have."""

KEYWORDS = listed(
    """
    accessible add all alter analyze and as asc asensitive before between bigint binary blob both by call
    cascade case change char character check collate column condition constraint continue convert create
    cross cume_dist current_date current_time current_timestamp current_user cursor databases dec decimal
    declare default delayed delete dense_rank desc describe deterministic distinct distinctrow div double
    drop dual each else elseif empty enclosed escaped except exists exit explain false fetch first_value
    float float4 float8 for force foreign from fulltext generated get grant group grouping groups having
    high_priority if ignore in index infile inner inout insensitive insert int int1 int2 int3 int4 int8
    integer intersect interval into io_after_gtids io_before_gtids is iterate join json_table key keys
    kill lag last_value lateral lead leading leave left like limit linear lines load localtime
    localtimestamp lock long longblob longtext loop low_priority match maxvalue mediumblob mediumint
    mediumtext middleint mod modifies natural not no_write_to_binlog nth_value ntile null numeric of on
    optimize optimizer_costs option optionally or order out outer outfile over partition percent_rank
    precision primary procedure purge range rank read reads read_write real recursive references regexp
    release rename repeat replace require resignal restrict return returning revoke right rlike row rows
    row_number schema schemas select sensitive separator set show signal smallint spatial specific sql
    sqlexception sqlstate sqlwarning sql_big_result sql_calc_found_rows sql_small_result ssl starting
    stored straight_join system table terminated then tinyblob tinyint tinytext to trailing trigger true
    undo union unique unlock unsigned update usage use using utc_date utc_time utc_timestamp values
    varbinary varchar varcharacter varying virtual when where while window with write xor year_month
    zerofill any some sounds sql_no_cache sql_buffer_result array offset rollup sets set
    """
)
"""The reserved words of MySQL 8.4 and MariaDB 11, and others that stand before a bracket."""


def read(query: Query) -> dict[str, list[str]]:
    """Return the sections of the file, from a server of MariaDB."""
    listed = query("SELECT LOWER(FUNCTION) FROM information_schema.SQL_FUNCTIONS")
    geometry = {*GEOMETRY} - {*LEFT_OUT_GEOMETRY}
    pure = {*listed, *OF_KEYWORDS, *OF_MYSQL, *OF_NEWER_MARIADB, *geometry}
    return {
        "pure": sorted(pure - {*READING, *LEFT_OUT, "contains", "distance", "overlaps"}),
        "reading": READING,
        "keywords": sorted(KEYWORDS),
    }
