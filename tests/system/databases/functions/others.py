"""The functions of the SQL standard, and some of Oracle and SQL Server.

These are written by hand: what the standard has, and what Django and SQLAlchemy use on these databases.
"""

from __future__ import annotations

from tests.system.databases.functions.names import listed

__all__ = ["ORACLE", "SQLSERVER", "STANDARD"]

STANDARD = {
    "pure": listed(
        """
        abs acos any_value array_agg asin atan avg bit_length btrim cardinality cast ceil ceiling
        char_length character_length coalesce collect concat corr cos cosh count covar_pop covar_samp
        cume_dist current_date current_time current_timestamp current_user dense_rank element every exp
        extract first_value floor fusion greatest grouping intersection json_array json_arrayagg
        json_exists json_object json_objectagg json_query json_table json_value lag last_value lead least
        length listagg ln localtime localtimestamp log log10 lower lpad ltrim max min mod normalize
        nth_value ntile nullif octet_length overlay percent_rank percentile_cont percentile_disc position
        position_regex power rank regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope
        regr_sxx regr_sxy regr_syy replace round row_number rpad rtrim session_user sin sinh sqrt
        stddev_pop stddev_samp substring sum tan tanh translate trim trim_array unnest upper user var_pop
        var_samp width_bucket xmlagg xmlcomment xmlconcat xmldocument xmlelement xmlexists xmlforest
        xmlparse xmlpi xmlquery xmlserialize xmltable xmltext xmlvalidate
        """
    ),
    "keywords": listed(
        """
        all and any array as between by case cast check collate conflict default distinct else end escape
        except exists fetch for from full group having in inner insert intersect interval into is join
        lateral left like limit match_condition multiset natural not null offset on only or order outer
        over partition primary references returning right rollup row rows select set sets similar some
        table then union unique using values when where window with within
        """
    ),
}
ORACLE = {
    "pure": listed(
        """
        add_months bfilename bitand chr dbms_lob.compare dbms_lob.getlength dbms_lob.instr
        dbms_lob.substr decode dump empty_blob empty_clob from_tz hextoraw initcap instr last_day lengthb
        lnnvl months_between nanvl new_time next_day nls_lower nls_upper numtodsinterval numtoyminterval
        nvl nvl2 ora_hash rawtohex regexp_count regexp_instr regexp_like regexp_replace regexp_substr
        remainder sdo_geometry sdo_point_type sign soundex standard_hash stddev substr substrb
        sys_context sys_extract_utc sys_guid sysdate systimestamp to_binary_double to_binary_float
        to_char to_clob to_date to_dsinterval to_lob to_multi_byte to_nchar to_nclob to_number
        to_single_byte to_timestamp to_timestamp_tz to_yminterval trunc tz_offset uid userenv variance
        vsize wm_concat
        """
    ),
    "keywords": listed(
        """
        binary_double binary_float char clob columns date decimal float integer keep minus nchar nested
        number nvarchar2 pivot prior raw timestamp unpivot varchar2
        """
    ),
}
SQLSERVER = {
    "pure": listed(
        """
        approx_count_distinct ascii char charindex checksum checksum_agg choose concat_ws convert
        count_big cume_dist dateadd datediff datediff_big datefromparts datename datepart
        datetime2fromparts datetimefromparts datetimeoffsetfromparts day db_id db_name degrees eomonth
        error_message error_number format generate_series getdate getutcdate grouping_id hashbytes
        host_name ident_current iif isdate isjson isnull isnumeric json_modify json_path_exists left len
        log month nchar newid newsequentialid object_id object_name object_schema_name openjson parse
        parsename patindex pi quotename radians rand replicate reverse right schema_id schema_name
        scope_identity sign smalldatetimefromparts soundex space square stdev stdevp str string_agg
        string_escape string_split stuff suser_name suser_sname switchoffset sysdatetime
        sysdatetimeoffset sysutcdatetime timefromparts todatetimeoffset trigger_nestlevel try_cast
        try_convert try_parse typeproperty unicode user_id user_name var varp year
        """
    ),
    "writing": listed("opendatasource openquery openrowset openxml"),
    "keywords": listed(
        """
        apply binary bit datetime2 datetimeoffset decimal float identity nchar numeric nvarchar option
        output pivot time top unpivot varbinary varchar
        """
    ),
}
