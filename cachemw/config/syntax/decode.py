"""The strict decoder, which finds every mistake of a document in one run.

A settings class is a table of options. Each option has its own parser. The constructor, the decoder of
files and the tables of the reference all use that one table, so they cannot differ.

A parser raises ValueError with a message, or ConfigError with problems whose paths are relative to the
value. A parser that could read a part of its value raises `IncompleteError` with that part: then the
rules about other options still run, and their mistakes are found too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import SimpleNamespace
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast, dataclass_transform

from cachemw.config.syntax.messages import did_you_mean, key, show
from cachemw.errors import ConfigError, Problem

__all__ = [
    "IncompleteError",
    "Option",
    "Parser",
    "Rule",
    "Setting",
    "Settings",
    "list_of",
    "mapping_of",
    "option",
    "options_of",
    "required",
    "settings",
    "table",
]

T = TypeVar("T")
S = TypeVar("S", bound="Settings")
Written = TypeVar("Written", contravariant=True)
Read = TypeVar("Read", covariant=True)

_UNSET: Any = type("_Unset", (), {"__repr__": lambda _: "<required>"})()


class Setting(Protocol[Written, Read]):
    """The type of an option for type checkers: what may be written, and what is read back.

    No object of it exists at run time: the slot holds the parsed value itself.
    """

    def __get__(self, instance: object, owner: type | None = None) -> Read: ...
    def __set__(self, instance: object, value: Written) -> None: ...


@dataclass(frozen=True, slots=True)
class Parser(Generic[T]):
    """The parser of one value. `expects` is the column "written as" of the reference."""

    parse: Callable[[object], T]
    expects: str
    holds: type[Settings] | None = None
    """The class of the tables that the value is, or consists of."""
    place: str = "[{}]"
    """How a file names such a table, for the name of the option."""

    def __call__(self, value: object) -> T:
        """Parse a value."""
        return self.parse(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option in the table. `default` is written as in a file, not parsed."""

    parse: Parser[Any]
    help: str
    default: Any
    required: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A check of several options. It runs only if each of them could be read."""

    names: tuple[str, ...]
    check: Callable[[Any], Iterable[Problem]]


class _UnknownKey(Problem):
    """The problem of a key that its table does not have."""

    __slots__ = ()


class IncompleteError(ConfigError):
    """Problems, and the part of the value that could be read nevertheless."""

    def __init__(self, problems: list[Problem], value: object) -> None:
        super().__init__(problems)
        self.value = value


def option(
    parse: Parser[Any],
    *,
    default: Any = None,
    factory: Callable[[], Any] | None = None,
    help: str,  # noqa: A002 - the word every command-line library uses
    repr: bool = True,  # noqa: A002 - passed on to dataclasses.field
) -> Any:
    """Declare an option. If it is left out, its default is parsed; a default of None stays None."""
    shown = factory() if factory else default
    parser = parse if shown is not None else _or_none(parse)
    metadata = {"option": Option(parse=parser, help=help, default=shown)}
    if factory is None:
        return field(default=default, repr=repr, metadata=metadata)
    return field(default_factory=factory, repr=repr, metadata=metadata)


def required(parse: Parser[Any], *, help: str) -> Any:  # noqa: A002
    """Declare an option that has no default."""
    made = Option(parse=parse, help=help, default=MISSING, required=True)
    return field(default=_UNSET, metadata={"option": made})


class Settings:
    """The base of settings classes: parses and checks every option when an object is made."""

    __slots__ = ()

    rules: ClassVar[tuple[Rule, ...]] = ()

    def __post_init__(self) -> None:
        """Parse and check every option. Raises ConfigError."""
        cls = type(self)
        given = {name: getattr(self, name) for name in options_of(cls)}
        values, problems = _validate(cls, given)
        if problems:
            raise ConfigError(problems, cls.__name__)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> None:
        """Fill in values that follow from other options. `values` lacks options that could not be read."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option, required))
def settings(cls: type[S]) -> type[S]:
    """Make a settings class."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


def options_of(cls: type[Settings]) -> dict[str, Option]:
    """Return the options of a class by name, in the order of their declaration."""
    return {each.name: each.metadata["option"] for each in fields(cast(Any, cls))}


def table(cls: type[S]) -> Parser[S]:
    """Return the parser of a table of options. An object of the class is accepted unchanged."""

    def parse(value: object) -> S:
        if isinstance(value, cls):
            return value
        entries = _entries(value)
        values, problems = _validate(cls, entries)
        problems = _unknown(cls, entries) + problems
        if problems:
            raise IncompleteError(problems, SimpleNamespace(**values))
        return cls(**values)

    return Parser(parse, "a table", cls)


def list_of(
    item: Parser[T], *, check: Callable[[list[T]], Iterable[Problem]] | None = None
) -> Parser[tuple[T, ...]]:
    """Return the parser of a list. Items that could not be read are None for later rules."""

    def parse(value: object) -> tuple[T, ...]:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"expected a list, got {show(value)}")
        problems: list[Problem] = []
        items = [_collect(item, each, f"[{i}]", problems) for i, each in enumerate(value)]
        if not problems and check is not None:
            problems += check(cast(list[T], items))
        if problems:
            raise IncompleteError(problems, tuple(items))
        return tuple(cast(list[T], items))

    return Parser(parse, f"a list: {item.expects}", item.holds, "[[{}]]")


def mapping_of(
    item: Parser[T],
    *,
    check: Callable[[str], object],
    default: Mapping[str, object] | None = None,
) -> Parser[dict[str, T]]:
    """Return the parser of a table with free keys. `check` raises ValueError for a wrong key."""

    def parse(value: object) -> dict[str, T]:
        problems: list[Problem] = []
        items: dict[str, T | None] = {}
        for name, each in {**(default or {}), **_entries(value)}.items():
            try:
                check(name)
            except ValueError as error:
                problems.append(Problem(key(name), str(error)))
            items[name] = _collect(item, each, key(name), problems)
        if problems:
            raise IncompleteError(problems, items)
        return cast(dict[str, T], items)

    return Parser(parse, f"a table: name = {item.expects}", item.holds, "[{}.NAME]")


def _or_none(parse: Parser[T]) -> Parser[T | None]:
    def parse_or_none(value: object) -> T | None:
        return None if value is None else parse(value)

    return Parser(parse_or_none, parse.expects, parse.holds, parse.place)


def _validate(
    cls: type[Settings], given: Mapping[str, object]
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the values that could be read, and every problem, those of the rules included."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, each in options_of(cls).items():
        value = given.get(name, _UNSET if each.required else each.default)
        if value is _UNSET:
            problems.append(Problem(name, f"is required: {each.help}"))
            continue
        count = len(problems)
        read = _collect(each.parse, value, name, problems)
        problems[count:] = [
            _explained(cls, problem, _item_of_list(name, each.parse, value))
            for problem in problems[count:]
        ]
        if len(problems) == count or read is not None:
            values[name] = read
    cls.derive(values)
    for rule in cls.rules:
        if all(name in values for name in rule.names):
            problems += rule.check(SimpleNamespace(**values))
    return values, problems


def _collect(parse: Parser[T], value: object, at: str, problems: list[Problem]) -> T | None:
    """Parse a value at a path. Add its problems to `problems`; None if nothing could be read."""
    try:
        return parse(value)
    except ConfigError as error:
        problems += [each._replace(path=_join(at, each.path)) for each in error.problems]
        return cast(T, error.value) if isinstance(error, IncompleteError) else None
    except ValueError as error:
        problems.append(Problem(at, str(error)))
        return None


def _unknown(cls: type[Settings], entries: Mapping[str, object]) -> list[Problem]:
    known = options_of(cls)
    return [
        _UnknownKey(key(name), f"unknown key{_where_else(cls, name, known)}")
        for name in entries
        if name not in known
    ]


def _where_else(cls: type[Settings], name: str, known: Mapping[str, Option]) -> str:
    """Return where a key belongs that a table does not have: below another table, or with another name."""
    if places := _places(cls, name):
        return f" here: write {key(name)} below {' or '.join(places)}"
    return did_you_mean(name, known) or _all_of(known)


def _places(cls: type[Settings], name: str) -> list[str]:
    """Return the tables inside a class that have an option of this name, as a file names them."""
    return [
        each.parse.place.format(outer)
        for outer, each in options_of(cls).items()
        if each.parse.holds is not None and name in options_of(each.parse.holds)
    ]


def _explained(cls: type[Settings], problem: Problem, hint: str) -> Problem:
    """Return a problem of an option with a hint; it says if a key belongs elsewhere in this class."""
    if not isinstance(problem, _UnknownKey):
        return problem._replace(message=problem.message + hint)
    name = problem.path.rpartition(".")[2]
    places = _places(cls, name)
    if name in options_of(cls):
        where = "at the top of the file, above the first [table]"
    elif places:
        where = f"below {' or '.join(places)}"
    else:
        return problem
    return problem._replace(message=f"unknown key here: write {name} {where}")


def _item_of_list(name: str, parser: Parser[Any], value: object) -> str:
    """Return how a file writes the items of a list, if it has one table in place of them."""
    is_table = isinstance(value, Mapping) and parser.place == "[[{}]]" and parser.holds
    return f": write [[{name}]], in double brackets, for each" if is_table else ""


def _all_of(known: Iterable[str]) -> str:
    return f"; the keys here are {', '.join(sorted(known))}"


def _entries(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        # A string instead of a table may be a secret that belongs into it, so it is not shown.
        got = "a string" if isinstance(value, str) else show(value)
        raise ValueError(f"expected a table, got {got}")
    if wrong := [name for name in value if not isinstance(name, str)]:
        raise ValueError(f"expected only strings as keys, got {show(wrong[0])}")
    return value


def _join(at: str, path: str) -> str:
    """Return the path of a problem inside a value: `routes` and `[0].ttl` are `routes[0].ttl`."""
    return f"{at}{path}" if not path or path.startswith("[") else f"{at}.{path}"
