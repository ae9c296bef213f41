"""OpenFeature, both ways: our flags to be read through it, and any provider of it to drive ours.

    api.set_provider(CachemwProvider(cache), domain="cachemw")     # what our flags say
    Driver(cache, api.get_client("flagd")).start()                 # what another system says counts

A provider has no say over the kill switch of the configuration, and cannot let in more than the
configuration and the live flags do: of all of them the least counts (`rollout.flags`). One that fails, or
knows nothing of a flag, changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openfeature.event import EventDetails, ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, FlagNotFoundError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from cachemw.config.syntax.flag import FULL, parse_flag, parse_holdout, share_of
from cachemw.process.fork import reset_in_children
from cachemw.rollout.flags.live import HOLDOUT, RISKS

if TYPE_CHECKING:
    from openfeature.client import OpenFeatureClient
    from openfeature.evaluation_context import EvaluationContext

    from cachemw import Cache

__all__ = ["CachemwProvider", "Driver"]

_EVERY = 1.0
"""Seconds between two looks at a provider that says nothing when it changes."""
_UNSAID = "default"


class CachemwProvider(AbstractProvider):
    """What the flags of a cache say, by their own names: `low`, `route:products`, `kill`, `holdout`.

    As a text the state in effect; as a boolean whether any key is let in; as a number the share that is.
    """

    def __init__(self, cache: Cache) -> None:
        """Read the flags of this process's cache."""
        super().__init__()
        self._flags = cache.flags
        self._flags.on_change.append(self._changed)

    def get_metadata(self) -> Metadata:
        """Give the provider's name."""
        return Metadata(name="cachemw")

    def shutdown(self) -> None:
        """Hear no more of changes."""
        if self._changed in self._flags.on_change:
            self._flags.on_change.remove(self._changed)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Give a flag's state in effect."""
        return _static(self._state(flag_key))

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Say whether a flag lets any key in; of `kill`, whether all is killed."""
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
        """Give the share of the keys that a flag lets in, or of the requests that are held out."""
        state = self._state(flag_key)
        if flag_key == HOLDOUT:
            return _static(self._flags.holdout)
        return _static(max(0, share_of(state)) / FULL)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Refuse: no flag is a whole number."""
        self._state(flag_key)
        raise TypeMismatchError(f"{flag_key} is a state: ask for a text, a boolean or a number")

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[Any] | Mapping[str, Any],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Any]:
        """Refuse: no flag is an object."""
        self._state(flag_key)
        raise TypeMismatchError(f"{flag_key} is a state: ask for a text, a boolean or a number")

    def _state(self, flag_key: str) -> str:
        states = self._flags.states()
        if flag_key not in states:
            raise FlagNotFoundError(f"{flag_key!r} is no flag of this cache")
        return states[flag_key]

    def _changed(self) -> None:
        self.emit_provider_configuration_changed(ProviderEventDetails())


def _static(value: Any) -> FlagResolutionDetails[Any]:
    return FlagResolutionDetails(value=value, reason=Reason.STATIC, variant=str(value))


class Driver:
    """Lets a provider of OpenFeature say how far the flags of this process's cache go.

    It is asked for a text for each of our flags, `cachemw.low`, `cachemw.route.products`, `cachemw.kill`
    and so on: a state as `cachemw flags set` takes it, or `default` to say nothing.
    """

    def __init__(self, cache: Cache, client: OpenFeatureClient, prefix: str = "cachemw.") -> None:
        """Drive by what this client's provider says; flags are named with the prefix."""
        self._cache = cache
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
        """Ask now, in this thread, and again in the background: when it changes, and every second."""
        if self._thread is not None:
            return
        self._client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, self._told)
        self._client.add_handler(ProviderEvent.PROVIDER_READY, self._told)
        self._try()
        self._stopping.clear()
        self._begin()

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="cachemw-openfeature", daemon=True)
        self._thread.start()

    def reset_after_fork(self) -> None:
        """Go on asking in a child process, from a thread of its own."""
        self._wake, self._stopping = threading.Event(), threading.Event()
        if self._thread is not None:
            self._begin()

    def stop(self) -> None:
        """Stop asking, and let the flags be as they are without it."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        self._wake.set()
        thread.join()
        self._client.remove_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, self._told)
        self._client.remove_handler(ProviderEvent.PROVIDER_READY, self._told)
        self._cache.flags.drive({})

    def ask(self) -> None:
        """Ask for all flags once. What cannot be read, or not be asked for just now, stays as it was."""
        said = dict(self._cache.flags.driven)
        for name, key in self._names.items():
            found = self._client.get_string_details(key, _UNSAID)
            if found.error_code not in (None, ErrorCode.FLAG_NOT_FOUND):
                continue
            try:
                if found.value == _UNSAID:
                    said.pop(name, None)
                else:
                    said[name] = _checked(name, found.value)
            except ValueError:
                self._cache._core.reporter.logs.failed("openfeature_state")
        self._cache.flags.drive(said)

    def _told(self, _: EventDetails) -> None:
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_EVERY)
            self._wake.clear()
            if not self._stopping.is_set():
                self._try()

    def _try(self) -> None:
        try:
            self.ask()
        except Exception:  # a provider at fault must not end this thread
            self._cache._core.reporter.logs.failed("openfeature_failed")


def _checked(name: str, state: str) -> str:
    if name == HOLDOUT:
        parse_holdout(state)
        return state
    if name == "kill":
        if state not in ("on", "off"):
            raise ValueError(f"{state!r} is no state; the kill switch is on or off")
        return state
    return parse_flag(state)
