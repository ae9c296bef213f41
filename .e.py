def sub(p, *prs):
    t = open(p).read()
    for a, b in prs:
        assert t.count(a) == 1, (p, a, t.count(a))
        t = t.replace(a, b)
    open(p, "w").write(t)


sub(
    "cachemw/asgi.py",
    (
        """        outer: list[Pair] = []
        state, extensions = scope.get("state"), scope.get("extensions")
        if (
            "session" in scope
            or "user" in scope
            or "auth" in scope
            or (state and not IDENTITY_IN_STATE.isdisjoint(state))
            or (extensions and "tls" in extensions)
        ):
            outer = outer_of(scope, self._lifespan_state)
            if outer:
                watched = [*(watched or ()), *outer]
""",
        """        outer = None
        state, extensions = scope.get("state"), scope.get("extensions")
        if (
            "session" in scope
            or "user" in scope
            or "auth" in scope
            or (state and not IDENTITY_IN_STATE.isdisjoint(state))
            or (extensions and "tls" in extensions)
        ):
            outer = outer_of(scope, self._lifespan_state)
            if outer:
                watched = [*(watched or ()), *outer]
""",
    ),
    (
        """from cachemw.http.fields import Pair
""",
        "",
    ),
    ("request_of(scope, first, outer), target", "request_of(scope, first, outer or ()), target"),
)
sub(
    "cachemw/telemetry/reporter.py",
    ("found: Pair)", "found: tuple[bytes, bytes])"),
    ("from cachemw.http.fields import Pair\n", ""),
)
sub(
    "tests/docs/test_pages.py",
    (
        """@pytest.mark.parametrize("word", sorted({*bypass._BYPASS.values(), "target", "host", "spelling", "outer-identity"}))
""",
        """@pytest.mark.parametrize(
    "word", sorted({*bypass._BYPASS.values(), "target", "host", "spelling", "outer-identity"})
)
""",
    ),
)
