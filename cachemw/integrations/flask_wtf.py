"""Forms of Flask-WTF: pages with CSRF tokens are stored with the tokens cut out.

    csrf = CSRFProtect(app)
    cache = Cache.from_file("cachemw.toml", identities={"visitor": visitor(app)})
    follow_forms(app, cache)
    app.wsgi_app = CacheMiddleware(app.wsgi_app, cache=cache)

and for each route `identity = "visitor"` and `cookies = []`.

Flask-WTF keeps a client's token in Flask's session, which is a signed cookie. It puts it into the page,
signed anew with the time. So a visitor who has seen one form has a session. `visitor` tells those who have
no more than that from those who are somebody, and lets the latter past the cache. Each token is noted where
it is signed, and filled at each hit with the token of that client's own session.

I1: the application makes the page without the client's session, so with a token that it has just made up.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import flask_wtf.csrf
from flask import Flask, current_app, has_app_context
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.http import dump_cookie, parse_cookie

from cachemw import Cache
from cachemw.engine.model.holes import Filling, Piece
from cachemw.http.messages import Request
from cachemw.recording.context import open_recording

__all__ = ["follow_forms", "visitor"]

_HOLE = ":flask-wtf"
_SALT = "wtf-csrf-token"
_EXTENSION = "cachemw_forms"


def visitor(app: Flask) -> Callable[[Request], str | None]:
    """Return an identity function: all who have no session, or one with a form's token only, are one."""
    sessions = _Sessions(app)

    def identify(request: Request) -> str | None:
        session = sessions.of(request)
        return "anybody" if session.keys() <= {sessions.field} else None

    return identify


def follow_forms(app: Flask, cache: Cache) -> None:
    """Store pages with tokens of Flask-WTF, and fill them for each client.

    Raises TypeError if the application keeps its sessions elsewhere than in Flask's signed cookie.
    """
    sessions = _Sessions(app)
    app.extensions[_EXTENSION] = sessions
    app.session_interface = _Watched(app.session_interface, sessions.field)  # type: ignore[assignment]
    flask_wtf.csrf.URLSafeTimedSerializer = _Noted
    cache._core.engine.fills[_HOLE] = sessions.fill


class _Sessions:
    """Flask's sessions of one application, in their cookie."""

    def __init__(self, app: Flask) -> None:
        interface = app.session_interface
        if isinstance(interface, _Watched):
            interface = interface.interface
        if not isinstance(interface, SecureCookieSessionInterface):
            raise TypeError(
                f"the sessions of {app.name!r} are kept by {type(interface).__name__};"
                " forms can be followed only where Flask's own signed cookie holds them"
            )
        self._app = app
        self._interface = interface

    @property
    def field(self) -> str:
        """The name of the token in a session."""
        return str(self._app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token"))

    @property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        return self._interface.get_cookie_name(self._app)

    def of(self, request: Request) -> dict[str, Any]:
        """Return what is in the session of a request; nothing if it has none that counts."""
        lines = request.headers.values(b"cookie")
        value = (
            parse_cookie(b"; ".join(lines).decode("latin-1")).get(self.cookie) if lines else None
        )
        serializer = self._interface.get_signing_serializer(self._app)
        if not value or serializer is None:
            return {}
        longest = int(self._app.permanent_session_lifetime.total_seconds())
        try:
            session = serializer.loads(value, max_age=longest)
        except BadSignature:
            return {}
        return session if isinstance(session, dict) else {}

    def fill(self, request: Request) -> Filling:
        """Return the tokens of one client; with a new session, if it has none with a token."""
        known = self.of(request).get(self.field)
        token = known if isinstance(known, str) else hashlib.sha1(os.urandom(64)).hexdigest()  # noqa: S324 - as Flask-WTF makes it

        def text() -> bytes:
            secret: Any = self._app.config.get("WTF_CSRF_SECRET_KEY", self._app.secret_key)
            return URLSafeTimedSerializer(secret, salt=_SALT).dumps(token).encode("ascii")

        # Tokens expire, so no page that a client has is current for ever: there is no state.
        headers = () if known == token else ((b"set-cookie", self._set_cookie(token)),)
        return Filling(text=text, headers=headers)

    def _set_cookie(self, token: str) -> bytes:
        app, interface = self._app, self._interface
        serializer = interface.get_signing_serializer(app)
        assert serializer is not None  # the page has a token, so the application has a secret
        line = dump_cookie(
            self.cookie,
            str(serializer.dumps({self.field: token})),
            domain=interface.get_cookie_domain(app),
            path=interface.get_cookie_path(app),
            secure=interface.get_cookie_secure(app),
            httponly=interface.get_cookie_httponly(app),
            samesite=interface.get_cookie_samesite(app),
        )
        return line.encode("latin-1")


class _Noted(URLSafeTimedSerializer):
    """Flask-WTF's serializer, which notes each token that it signs."""

    def dumps(self, obj: Any, salt: str | bytes | None = None) -> str:
        signed = super().dumps(obj, salt)
        recording = open_recording()
        if recording is not None and has_app_context():
            sessions = current_app.extensions.get(_EXTENSION)
            client = recording.client
            if sessions is None or client is None:
                recording.lose_piece()
            elif not recording.in_shadow and sessions.of(client[1]).get(sessions.field) == obj:
                recording.lose_piece()  # the application sees the client's own session
            else:
                cookie = sessions.cookie.encode("ascii")
                piece = Piece(text=signed.encode("ascii"), name=_HOLE, cookie=cookie)
                recording.add_piece(piece)
        return signed


class _Watched:
    """A session interface that tells whether the view put more than a token into the session."""

    def __init__(self, interface: Any, field: str) -> None:
        self.interface = interface
        self._field = field

    def save_session(self, app: Flask, session: Any, response: Any) -> None:
        """Save a session; the response must set its cookie if there is more in it than a token."""
        recording = open_recording()
        if recording is not None and recording.has_pieces and session.keys() - {self._field}:
            recording.lose_piece()
        self.interface.save_session(app, session, response)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.interface, name)
