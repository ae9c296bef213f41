"""The survivors that make no difference, each with the reason."""

from __future__ import annotations

__all__ = ["EQUIVALENT"]

_STORING = "cachemw.http.storing"
_FRESHNESS = "cachemw.http.freshness"
_KEYING = "cachemw.engine.request.keying"
_CONTENTS = "cachemw.engine.request.key_contents"
_BYPASS = "cachemw.engine.privacy.bypass"
_COOKIES = "cachemw.engine.privacy.cookie_rules"
_KEEPING = "cachemw.engine.keeping.storing"
_CLIENT = "cachemw.engine.keeping.client_cookies"
_NONCES = "cachemw.engine.lookup.nonces"
_CUTTING = "cachemw.engine.keeping.cutting"
_FLOORS = "cachemw.invalidation.floors"

_NO_HOST = "a caller has checked with `is_host` that there is exactly one"
_NEVER_BELOW_ONE = "no record and no local purge has a number below 1"
_ANY_RISE = "versions are only compared for equality, so any rise will do"
_NO_FLOOR = "positions are never negative, so a missing floor of -1 is above none of them, as 0 is"
_ONE_OF_TWO = (
    "of the keys that `classify` makes, those with six parts are those whose second part is None: a"
    " variant has an odd number of parts, and each of its names is there"
)
_LEADING_ZEROS = (
    "only lengths with leading zeros are read differently, and `refusal` refuses those in any case"
)
_SMALLEST_MAX_SIZE = "`max_size` is at least 1"
_ZERO_OR_MORE = "the larger of this and Age counts, and Age is 0 or more"

EQUIVALENT: dict[tuple[str, str, str, str], str] = {
    # -- http.storing ----------------------------------------------------------------------------
    (_STORING, "judge", "reason is None and client_known", "reason is None"): (
        "it saves a call: `_refusal_of_personal` refuses nobody who is not known"
    ),
    (
        _STORING,
        "_seconds_retained",
        "policy.retain <= 0 or head.status not in RENEWABLE_STATUSES",
        "head.status not in RENEWABLE_STATUSES",
    ): "it saves a look for validators: with a `retain` of 0 the result is 0 in any case",
    (_STORING, "_seconds_retained", "policy.retain <= 0", "policy.retain < 0"): (
        "with a `retain` of 0 the result is 0 in any case"
    ),
    (_STORING, "_seconds_retained", "policy.retain <= 0", "policy.retain <= -1"): (
        "with a `retain` of 0 the result is 0 in any case, and it is never negative"
    ),
    (
        _STORING,
        "_refusal",
        "b'vary' in fields and varies_on(fields) is None",
        "varies_on(fields) is None",
    ): "it saves a call: without Vary, `varies_on` returns no names, which is not None",
    (
        _STORING,
        "_refusal",
        "b'transfer-encoding' in fields and _has_transfer_coding(head)",
        "_has_transfer_coding(head)",
    ): "it saves a call: without the header there is no coding",
    (
        _STORING,
        "_refusal_of_personal",
        "varies_on(head.headers) or ()",
        "varies_on(head.headers)",
    ): "for the type checker: `Vary: *` is refused before, by `_refusal`",
    (_STORING, "_has_one_length", "lengths[0]", "lengths[-1]"): "there is exactly one",
    # -- http.vary -------------------------------------------------------------------------------
    (
        "cachemw.http.vary",
        "is_coded",
        "b'content-encoding' in fields and any((coding.lower() != b'identity' for coding in"
        " fields.members(b'content-encoding')))",
        "any((coding.lower() != b'identity' for coding in fields.members(b'content-encoding')))",
    ): "it saves a call: without the header there is no coding",
    # -- http.freshness --------------------------------------------------------------------------
    (
        _FRESHNESS,
        "initial_age",
        "next(fields.members(b'age'), b'')",
        "next(fields.members(b'age'), b'X')",
    ): "neither is a number",
    (
        _FRESHNESS,
        "initial_age",
        "delta_seconds(age) if age.isdigit() else 0",
        "delta_seconds(age) if age.isdigit() else -1",
    ): "the larger of this and the apparent age counts, and that is 0 or more",
    (
        _FRESHNESS,
        "initial_age",
        "0.0 if date is None else max(0.0, wall_now - date)",
        "-1.0 if date is None else max(0.0, wall_now - date)",
    ): _ZERO_OR_MORE,
    (
        _FRESHNESS,
        "initial_age",
        "max(0.0, wall_now - date)",
        "max(-1.0, wall_now - date)",
    ): _ZERO_OR_MORE,
    # -- engine.request.keying -------------------------------------------------------------------
    (
        _KEYING,
        "CacheableRequest.rewrite",
        "(conditions or not keep_conditions) and is_conditional(headers)",
        "conditions or not keep_conditions",
    ): "it saves a call: `without` returns the same headers if there is nothing to remove",
    (
        _KEYING,
        "CacheableRequest.has_removed_cookies",
        "bool(sent) and sent != self.headers.values(b'cookie')",
        "sent != self.headers.values(b'cookie')",
    ): "it saves a look: where no Cookie header was sent, the application sees none",
    (_KEYING, "classify", "not reason and request.outer", "not reason"): (
        "it saves a call: `_misplaced` finds nothing where nothing is outside"
    ),
    (
        _KEYING,
        "classify",
        "route.share != FULL and isinstance(cacheable, CacheableRequest)",
        "isinstance(cacheable, CacheableRequest)",
    ): "it saves a call: with a share of FULL, `_apply_flag` returns the request as it is",
    (
        _KEYING,
        "_apply_flag",
        "share != OFF and route.admits(cacheable.key)",
        "route.admits(cacheable.key)",
    ): "OFF is a share of -1, and `admits` lets no key in with a share below 1",
    (_KEYING, "_base_plan", "''.join", "'X'.join"): (
        "the text is only searched for a colon, and no separator without one makes or hides one"
    ),
    (
        _KEYING,
        "_directives",
        "not route.honours or DIRECTIVES.isdisjoint(fields.names)",
        "not route.honours",
    ): "it saves a call: without these headers `parse` finds nothing, and the result is None",
    (
        _KEYING,
        "visible_headers",
        "not cookies.altered or b'cookie' not in fields",
        "not cookies.altered",
    ): "it saves a call: without a Cookie header none is seen, and `without` removes nothing",
    (_KEYING, "_extended_plan", "b'='.join", "b'=X'.join"): (
        "no cookie's name has an equals sign in it, so both separators tell where the name ends"
    ),
    # -- engine.request.key_contents ---------------------------------------------------------------
    (
        _CONTENTS,
        "",
        '_IN_PATH = "/%:@!$&\'()*+,;=~-._[]"',
        '_IN_PATH = "/%:@!$&\'()*+,;=~-._[]X"',
    ): "`quote` never quotes letters",
    (_CONTENTS, "", "_IN_PATH + '?'", "_IN_PATH + '?X'"): "`quote` never quotes letters",
    (
        _CONTENTS,
        "_read_plan",
        "_text(name).lstrip(':')",
        "_text(name).lstrip(':X')",
    ): "the names of headers are in lower case, so none begins with a capital X",
    (_CONTENTS, "read_key", "break", "continue"): (
        "the parts stay the same, so the loop comes to the same place again, and ends"
    ),
    (
        _CONTENTS,
        "read_key",
        "len(parts) == _PLAN and parts[1] is None",
        "len(parts) == _PLAN or parts[1] is None",
    ): _ONE_OF_TWO,
    (
        _CONTENTS,
        "read_key",
        "len(parts) == _PLAN and parts[1] is None",
        "parts[1] is None",
    ): _ONE_OF_TWO,
    (
        _CONTENTS,
        "read_key",
        "len(parts) == _PLAN and parts[1] is None",
        "len(parts) == _PLAN",
    ): _ONE_OF_TWO,
    # -- engine.privacy.bypass ---------------------------------------------------------------------
    (_BYPASS, "watched", "{b'host'}", "{b'hostX'}"): (
        "a name without a hyphen has no other spelling; Host is there so that the list is complete"
    ),
    (
        _BYPASS,
        "_underscored",
        "itertools.product('-_', repeat=len(pieces) - 1)",
        "itertools.product('-_X', repeat=len(pieces) - 1)",
    ): "the names of headers are in lower case, so none has a capital X in it",
    (_BYPASS, "_underscored", "strict=True", "strict=False"): (
        "`repeat` makes both of the same length; the linter wants a decision"
    ),
    (_BYPASS, "is_host", "hosts[0]", "hosts[-1]"): "there is exactly one",
    (
        _BYPASS,
        "host_of",
        "request.headers.first(b'host') or b''",
        "request.headers.first(b'host')",
    ): f"for the type checker: {_NO_HOST}",
    (
        _BYPASS,
        "host_of",
        "request.headers.first(b'host') or b''",
        "request.headers.first(b'host') or b'X'",
    ): f"for the type checker: {_NO_HOST}",
    # -- engine.privacy.cookie_rules --------------------------------------------------------------
    (
        _COOKIES,
        "CookieRules.key",
        "self._sorts and self._highest(lines) > _KEYED",
        "self._highest(lines) > _KEYED",
    ): "it saves a call: where nothing is sorted, no cookie is of a kind above _KEYED",
    (
        _COOKIES,
        "CookieRules.bypasses",
        "self._sorts and self._highest(lines) == _PERSONAL",
        "self._highest(lines) == _PERSONAL",
    ): "it saves a call: where nothing is sorted, no cookie is of a kind above _KEYED",
    (_COOKIES, "CookieRules._highest", "kind > highest", "kind >= highest"): (
        "the same kind again changes nothing"
    ),
    (
        _COOKIES,
        "CookieRules._highest",
        "kind < _OTHER or part.strip()",
        "part.strip()",
    ): "a part without any text has no name, so whether it counts as removed changes nothing",
    (_COOKIES, "CookieRules._without_ignored", "strict=True", "strict=False"): (
        "there is one kind for each part; the linter wants a decision"
    ),
    # -- engine.model.variants ---------------------------------------------------------------------
    ("cachemw.engine.model.variants", "selecting_names", "names or ()", "names"): (
        "for the type checker: `http.storing` has refused `Vary: *`"
    ),
    # -- engine.keeping.storing ------------------------------------------------------------------
    (_KEEPING, "", "{204, 304}", "{204}"): "a 304 is never stored: `http.storing` refuses it",
    (_KEEPING, "judge_head", "retain=0.0", "retain=-1.0"): (
        "`http.storing` retains nothing where this is 0 or less"
    ),
    (
        _KEEPING,
        "_stated_length",
        "head.headers.first(b'content-length') or b''",
        "head.headers.first(b'content-length') or b'X'",
    ): "neither is a number",
    (_KEEPING, "_stated_length", ":20", ":21"): _LEADING_ZEROS,
    (_KEEPING, "_stated_length", ":20", ":19"): _LEADING_ZEROS,
    (
        _KEEPING,
        "_stated_length",
        "int(length[:20]) if length.isdigit() else 0",
        "int(length[:20]) if length.isdigit() else 1",
    ): _SMALLEST_MAX_SIZE,
    (
        _KEEPING,
        "_stated_length",
        "int(length[:20]) if length.isdigit() else 0",
        "int(length[:20]) if length.isdigit() else -1",
    ): _SMALLEST_MAX_SIZE,
    (_CUTTING, "_unpacked", "max_size + 1", "max_size + 0"): (
        "of what is larger the end is not reached then, and it is refused for that"
    ),
    (_CUTTING, "_unpacked", "max_size + 1", "max_size + 2"): "what is larger is refused below",
    (_NONCES, "without_nonces", "piece.arguments[0]", "piece.arguments[-1]"): (
        "the piece of a nonce has one argument"
    ),
    # -- invalidation.floors ---------------------------------------------------------------------
    (_FLOORS, "Floors.__init__", "self.version = 0", "self.version = 1"): (
        "versions are only compared for equality, and entries begin with -1"
    ),
    (_FLOORS, "Floors.__init__", "self._all_soft = 0", "self._all_soft = -1"): _NO_FLOOR,
    (_FLOORS, "Floors.overtakes", "self._hard.get(tag, 0)", "self._hard.get(tag, -1)"): _NO_FLOOR,
    (_FLOORS, "Floors.apply", "floors.get(tag, 0)", "floors.get(tag, 1)"): _NEVER_BELOW_ONE,
    (_FLOORS, "Floors.apply", "floors.get(tag, 0)", "floors.get(tag, -1)"): _NEVER_BELOW_ONE,
    # -- engine.keeping.client_cookies and cutting -----------------------------------------------
    (_CLIENT, "ask_with_own", "fetch is None or reads is None", "reads is None"): (
        "without a fetch there are no reads"
    ),
    (
        _CLIENT,
        "ask_with_own",
        "reads.all and head.status >= _FAILED",
        "head.status >= _FAILED",
    ): "without `all`, the names are all that was read",
    (
        _CLIENT,
        "without_dropped",
        "fetch is None or b'set-cookie' not in head.headers",
        "fetch is None",
    ): "it saves a look at every header",
    (
        _CLIENT,
        "without_dropped",
        "bool(own) and (not fetch.shadow) and cacheable.has_removed_cookies",
        "not fetch.shadow and cacheable.has_removed_cookies",
    ): "without a cookie none was removed",
    (
        _CLIENT,
        "without_dropped",
        "bool(own) and (not fetch.shadow) and cacheable.has_removed_cookies",
        "bool(own) and (not fetch.shadow)",
    ): "of the client's cookies, `is_overwritten` only looks at those that are removed",
    (
        _CUTTING,
        "cut_head",
        "not names or b'set-cookie' not in headers",
        "b'set-cookie' not in headers",
    ): "it saves a look at every header: no cookie is in no names",
    (
        _CUTTING,
        "cut_head",
        "not names or b'set-cookie' not in headers",
        "not names",
    ): "it saves a look at every header: none of them is a cookie",
    (
        _CUTTING,
        "cut_head",
        "not names or b'set-cookie' not in headers",
        "not names and b'set-cookie' not in headers",
    ): "it saves less: the loop keeps every header that is none of these cookies",
    # -- invalidation.floors ---------------------------------------------------------------------
    (_FLOORS, "Floors.apply", "self.version += 1", "self.version += 2"): _ANY_RISE,
    (
        _FLOORS,
        "Floors._move",
        "number > self._current.id",
        "number >= self._current.id",
    ): "with the same number it makes an equal position",
    (_FLOORS, "Floors.begin_epoch", "self._all_soft = 0", "self._all_soft = -1"): _NO_FLOOR,
    (_FLOORS, "Floors.begin_epoch", "self.version += 1", "self.version += 2"): _ANY_RISE,
    (_FLOORS, "Floors.raise_horizon", "self.version += 1", "self.version += 2"): _ANY_RISE,
    (_FLOORS, "Floors.judge", "hard.get(tag, 0)", "hard.get(tag, -1)"): _NO_FLOOR,
    (
        _FLOORS,
        "Floors.judge",
        "bool(soft) and any((soft.get(tag, 0) > began for tag in entry.tags))",
        "any((soft.get(tag, 0) > began for tag in entry.tags))",
    ): "it saves a look at every tag: without soft floors none is above the position",
    (_FLOORS, "Floors.judge", "soft.get(tag, 0)", "soft.get(tag, -1)"): _NO_FLOOR,
}
"""By module, function, the code before and after: why no test can see the change."""
