"""OpenFeature in both directions: a provider of cachemw's flags, and a driver of them by another provider.

    api.set_provider(CachemwProvider(cache), domain="cachemw")     # read cachemw's flags
    Driver(cache, api.get_client("flagd")).start()                 # limit cachemw by another system's flags

Another system cannot lift the kill switch of the configuration, and cannot let in more than the
configuration and the live flags do: of all rules the least counts (`rollout.flags.flags`). A provider
that fails, or does not know a flag, changes nothing.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openfeature.event import EventDetails, ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, FlagNotFoundError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from cachemw.config.syntax.flag import FULL, parse_flag, parse_holdout, share_of
from cachemw.process.exit import CLOSE_WAIT
from cachemw.process.fork import reset_in_children
from cachemw.rollout.flags.live import HOLDOUT, RISKS

if TYPE_CHECKING:
    from openfeature.client import OpenFeatureClient
    from openfeature.evaluation_context import EvaluationContext

    from cachemw import Cache

__all__ = ["CachemwProvider", "Driver"]

_EVERY: Final = 1.0
"""Seconds between two reads, for providers that send no event when a flag changes."""
_DEFAULT: Final = "default"
"""The value of a flag that another system does not set."""


class CachemwProvider(AbstractProvider):
    """A provider of one cache's flags, by their names: `low`, `route:products`, `kill`, `holdout`.

    The text of a flag is its state in effect, the boolean whether any key is let in, and the number the
    share of keys that is let in.
    """

    def __init__(self, cache: Cache) -> None:
        """Provide the flags of this process's cache."""
        super().__init__()
        self._cache = cache  # as long as its flags can be read, they are to be those of the log
        self._flags = cache.flags
        # The log's thread refers to the flags: were the method itself there, the cache would never end.
        changed = weakref.WeakMethod(self._changed)
        self._listener = lambda: (call := changed()) and call()
        self._flags.on_change.append(self._listener)

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata(name="cachemw")

    def shutdown(self) -> None:
        """Stop listening to changes of the flags."""
        if self._listener in self._flags.on_change:
            self._flags.on_change.remove(self._listener)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return a flag's state in effect."""
        return _static(self._state(flag_key))

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return whether a flag lets any key in; for `kill`, whether the kill switch is on."""
        state = self._state(flag_key)
        if flag_key == HOLDOUT:
            return _static(state != "off")
        return _static(state == "on" if flag_key == "kill" else share_of(state) > 0)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Return the share of keys that a flag lets in; for `holdout`, the share of requests held out."""
        state = self._state(flag_key)
        if flag_key == HOLDOUT:
            return _static(self._flags.holdout)
        return _static(max(0, share_of(state)) / FULL)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Raise TypeMismatchError: no flag is a whole number."""
        self._state(flag_key)
        raise TypeMismatchError(f"{flag_key} is a state: read it as a text, a boolean or a float")

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[Any] | Mapping[str, Any],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Any]:
        """Raise TypeMismatchError: no flag is an object."""
        self._state(flag_key)
        raise TypeMismatchError(f"{flag_key} is a state: read it as a text, a boolean or a float")

    def _state(self, flag_key: str) -> str:
        states = self._flags.states()
        if flag_key not in states:
            raise FlagNotFoundError(f"{flag_key!r} is not a flag of this cache")
        return states[flag_key]

    def _changed(self) -> None:
        self.emit_provider_configuration_changed(ProviderEventDetails())


def _static(value: Any) -> FlagResolutionDetails[Any]:
    return FlagResolutionDetails(value=value, reason=Reason.STATIC, variant=str(value))


class Driver:
    """Limits the flags of this process's cache by the provider of an OpenFeature client.

    It does not keep the cache: when nobody else refers to that any more, the driver ends too.

    It reads a text for each flag, by the names `cachemw.low`, `cachemw.route.products`, `cachemw.kill`
    and so on. The value is a state as `cachemw flags set` takes it, or `default` for no limit.
    """

    def __init__(self, cache: Cache, client: OpenFeatureClient, prefix: str = "cachemw.") -> None:
        """Read flags from this client; `prefix` is put before each flag's name."""
        self._flags = cache.flags
        self._failed = cache._core.reporter.logs.failed
        self._used = weakref.ref(cache._core)
        self._client = client
        self._names = {
            name: prefix + name.replace("route:", "route.")
            for name in (*RISKS, "kill", HOLDOUT, *(f"route:{r.name}" for r in cache.config.routes))
        }
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        reset_in_children(self)

    def start(self) -> None:
        """Read all flags now; then read them in a thread, at each change and every second."""
        if self._thread is not None:
            return
        self._client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, self._wake_up)
        self._client.add_handler(ProviderEvent.PROVIDER_READY, self._wake_up)
        self._ask_safely()
        self._stopping.clear()
        self._start_thread()

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name="cachemw-openfeature", daemon=True)
        self._thread.start()

    def reset_after_fork(self) -> None:
        """Go on in a child process, with a thread of its own."""
        self._wake, self._stopping = threading.Event(), threading.Event()
        if self._thread is not None:
            self._start_thread()

    def stop(self) -> None:
        """Stop reading, and remove the limits."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        self._wake.set()
        thread.join(CLOSE_WAIT)  # the provider may hang
        self._remove_handlers()
        self._flags.drive({})

    def _remove_handlers(self) -> None:
        self._client.remove_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, self._wake_up)
        self._client.remove_handler(ProviderEvent.PROVIDER_READY, self._wake_up)

    def ask(self) -> None:
        """Read all flags once. A flag that cannot be read now, or has no valid value, stays as it was."""
        limits = dict(self._flags.driven)
        for name, key in self._names.items():
            details = self._client.get_string_details(key, _DEFAULT)
            if details.error_code not in (None, ErrorCode.FLAG_NOT_FOUND):
                continue
            try:
                if details.value == _DEFAULT:
                    limits.pop(name, None)
                else:
                    limits[name] = _checked(name, details.value)
            except ValueError:
                self._failed("openfeature_state")
        self._flags.drive(limits)

    def _wake_up(self, _: EventDetails) -> None:
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_EVERY)
            self._wake.clear()
            if self._used() is None:
                self._remove_handlers()
                return
            if not self._stopping.is_set():
                self._ask_safely()

    def _ask_safely(self) -> None:
        try:
            self.ask()
        except Exception:  # an error of the provider must not end this thread
            self._failed("openfeature_failed")


def _checked(name: str, state: str) -> str:
    """Return the state of a flag; raise ValueError if it cannot have it."""
    if name == HOLDOUT:
        parse_holdout(state)
        return state
    if name == "kill":
        if state not in ("on", "off"):
            raise ValueError(f"expected on or off, got {state!r}")
        return state
    return parse_flag(state)
