r"""Named statements from `queries.sql`, as typed coroutines.

A slice keeps its SQL in `queries.sql` and, beside it, a `queries.py` of two lines:

    from storeroom.database.queries import load

    load(__name__)

A statement opens with its name, its arguments and what comes back:

    -- name: stock_level(tenant_id, variant_id) -> StockLevel?
    -- The comment says why the statement has this shape; it becomes the docstring.
    SELECT variant_id, on_hand, reserved
      FROM {stock_levels}
     WHERE tenant_id = :tenant_id
       AND variant_id = :variant_id;

    await queries.stock_level(db, tenant_id=tenant_id, variant_id=variant_id)

What comes back: `-> T` exactly one row, `-> T?` one or none, `-> T*` a list, `-> count` the number of rows touched, no
arrow nothing. `T` is a struct of the slice's `model.py`, whose fields are the columns in their order, or one value
(`int`, `UUID`, an enum, an id). A `Money` field reads the bigint column of its name and the row's `currency`, which
need not be a field. Enums become members; jsonb becomes dict and list, or the structs that the field asks for.

An argument that may be null is written `note?`. A list with optional conditions says so on their lines:

       AND status = :status                     -- if status

Such a line is there only when the argument is given and not None, and such an argument may be left out. Every
combination is a statement of its own, with its own plan; there are at most `FILTERS_MAX` conditions.

Directives, each on a comment line of its own: `-- scope: all tenants`, for the few jobs that read every tenant, and
`-- bounded offset`, for the lists that a document wants by page number. Both are for the reader and for the lint.

The types are in `queries.pyi`, which `python -m storeroom.database.stubs` writes from a migrated database.
"""

import ast
import enum
import importlib
import inspect
import keyword
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from importlib import resources
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.core.clock import NaiveInstant
from storeroom.core.money import Money
from storeroom.database.names import UNTOUCHED, TableNames

FILTERS_MAX: Final = 6  # 64 statements; a list that needs more is two lists

BUILTINS: Final[Mapping[str, Any]] = {
    t.__name__: t
    for t in (bool, int, float, str, bytes, dict, list, date, datetime, time, timedelta, Decimal, UUID, Money)
}

_NAME: Final = re.compile(r"--\s*name:\s*(?P<rest>.*)")
_HEADER: Final = re.compile(
    r"(?P<name>\w+)\s*\((?P<arguments>[^()]*)\)\s*(?:->\s*(?P<type>\w+)(?P<rows>[?*])?\s*)?", re.ASCII
)
_PLACEHOLDER: Final = re.compile(f"{UNTOUCHED}|(?<![\\w:\\]\\)]):(?P<argument>[A-Za-z_]\\w*)", re.DOTALL | re.ASCII)
_CONDITION: Final = re.compile(r"\s+--\s*if\s+(?P<argument>\w+)\s*$", re.ASCII)
_SCOPE: Final = re.compile(r"scope:\s*all tenants\.?", re.IGNORECASE)
_OFFSET: Final = re.compile(r"bounded offset\.?", re.IGNORECASE)


class QueryFileError(ValueError):
    """A `queries.sql` cannot be loaded as it is written."""


class QueryReturnedNothing(RuntimeError):
    """A statement that promises exactly one row gave none: the statement or its caller is wrong."""


class Rows(enum.Enum):
    """How many rows a statement gives back."""

    ONE = ""
    MAYBE = "?"
    MANY = "*"
    COUNT = "count"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Argument:
    """One argument of a statement."""

    name: str
    nullable: bool
    condition: bool  # lines of the statement depend on it, so it may be left out


@dataclass(frozen=True)
class Variant:
    """The statement for one choice of conditions: `$1`, `$2`, … instead of `:name`, names still in braces."""

    conditions: frozenset[str]
    sql: str
    arguments: tuple[str, ...]  # in the order of their numbers


@dataclass(frozen=True)
class Query:
    """One named statement."""

    name: str
    arguments: tuple[Argument, ...]
    rows: Rows
    type_name: str | None
    doc: str
    all_tenants: bool
    bounded_offset: bool
    where: str  # file and line
    conditions: tuple[str, ...]
    variants: tuple[Variant, ...]  # variant i has those conditions whose bits are set in i


def load(module_name: str) -> None:
    """Make every statement of the `queries.sql` beside a module a coroutine of that module.

    Raises:
        QueryFileError: a header or a statement is wrong, or names a type that the slice's model lacks.
    """
    module = sys.modules[module_name]
    package = module_name.rpartition(".")[0]
    model = model_of(package)
    where = f"{package}/queries.sql"
    text = resources.files(package).joinpath("queries.sql").read_text(encoding="utf-8")
    for query in parse(text, where=where):
        setattr(module, query.name, compile_query(query, result_type(query, model), module_name))


def model_of(package: str) -> types.ModuleType | None:
    """The slice's model, None where it has none."""
    name = f"{package}.model"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def result_type(query: Query, model: types.ModuleType | None) -> Any:
    """What the name after the arrow means: a type of the model, or one of BUILTINS."""
    if query.type_name is None:
        return None
    found = getattr(model, query.type_name, None) or BUILTINS.get(query.type_name)
    if found is None:
        known = getattr(model, "__name__", "the slice, which has no model.py")
        raise QueryFileError(f"{query.where}: {query.name} returns {query.type_name}, which {known} does not know")
    return found


# --- Reading the file -------------------------------------------------------------------------------------------------


def parse(text: str, *, where: str = "queries.sql") -> list[Query]:
    """Read a file of statements; comments before the first name belong to the reader alone."""
    found: dict[str, Query] = {}
    for number, lines in _statements(text):
        query = _read_statement(lines, f"{where}:{number}")
        if query.name in found:
            raise QueryFileError(f"{query.where}: {query.name} is already at {found[query.name].where}")
        found[query.name] = query
    return list(found.values())


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    number, lines = 0, list[str]()
    for at, line in enumerate(text.splitlines(), start=1):
        if _NAME.match(line):
            if lines:
                yield number, lines
            number, lines = at, [line]
        elif lines:
            lines.append(line)
    if lines:
        yield number, lines


def _read_statement(lines: list[str], where: str) -> Query:
    header, rest = _read_header(lines)
    found = _HEADER.fullmatch(header)
    if found is None:
        raise QueryFileError(f"{where}: write `-- name: what(argument, may_be_null?) -> Type?`, not {header!r}")
    name = found["name"]
    if keyword.iskeyword(name) or name.startswith("_") or name == load.__name__:
        raise QueryFileError(f"{where}: a statement cannot be called {name}")
    comments = [line.strip() for line in rest[: _first_code_line(rest)]]
    remarks = [comment.removeprefix("--").strip() for comment in comments if comment]
    body = rest[len(comments) :]
    conditions = tuple(dict.fromkeys(m["argument"] for line in body if (m := _CONDITION.search(line))))
    if len(conditions) > FILTERS_MAX:
        raise QueryFileError(f"{where}: {name} has more than {FILTERS_MAX} optional conditions; make it two statements")
    arguments = _read_arguments(found["arguments"], conditions, f"{where}: {name}")
    variants = tuple(
        _read_variant(body, conditions, chosen, arguments, f"{where}: {name}") for chosen in range(1 << len(conditions))
    )
    unused = [a.name for a in arguments if not any(a.name in variant.arguments for variant in variants)]
    if unused:
        raise QueryFileError(f"{where}: {name} declares {', '.join(unused)} and does not use it")
    type_name = found["type"]
    rows = Rows.NOTHING if type_name is None else Rows(found["rows"] or "")
    if type_name == Rows.COUNT.value:
        if rows is not Rows.ONE:
            raise QueryFileError(f"{where}: {name}: a count is one number, without {rows.value}")
        type_name, rows = None, Rows.COUNT
    return Query(
        name=name,
        arguments=arguments,
        rows=rows,
        type_name=type_name,
        doc="\n".join(r for r in remarks if not _SCOPE.fullmatch(r) and not _OFFSET.fullmatch(r)).strip(),
        all_tenants=any(_SCOPE.fullmatch(r) for r in remarks),
        bounded_offset=any(_OFFSET.fullmatch(r) for r in remarks),
        where=where,
        conditions=conditions,
        variants=variants,
    )


def _read_header(lines: list[str]) -> tuple[str, list[str]]:
    """A header runs on over comment lines until its parenthesis closes."""
    header, at = typing.cast("re.Match[str]", _NAME.match(lines[0]))["rest"].strip(), 1
    while "(" in header and ")" not in header and at < len(lines) and lines[at].lstrip().startswith("--"):
        header += " " + lines[at].lstrip().removeprefix("--").strip()
        at += 1
    return header, lines[at:]


def _first_code_line(lines: list[str]) -> int:
    return next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("--")), len(lines))


def _read_arguments(text: str, conditions: Sequence[str], where: str) -> tuple[Argument, ...]:
    arguments: dict[str, Argument] = {}
    for part in (part.strip() for part in text.split(",")):
        if not part and not text.strip():
            continue
        name = part.removesuffix("?")
        if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name) or name.startswith("_"):
            raise QueryFileError(f"{where}: {part!r} is no argument; write `name`, or `name?` if it may be null")
        if name in arguments:
            raise QueryFileError(f"{where} declares {name} twice")
        arguments[name] = Argument(name=name, nullable=part.endswith("?"), condition=name in conditions)
    for name in conditions:
        if name not in arguments or not arguments[name].nullable:
            raise QueryFileError(f"{where}: a line depends on {name}, so declare it as {name}?")
    return tuple(arguments.values())


def _read_variant(
    body: list[str], conditions: Sequence[str], chosen: int, arguments: Sequence[Argument], where: str
) -> Variant:
    given = frozenset(name for bit, name in enumerate(conditions) if chosen >> bit & 1)
    kept = [
        _CONDITION.sub("", line)
        for line in body
        if (condition := _CONDITION.search(line)) is None or condition["argument"] in given
    ]
    sql = "\n".join(kept).strip()
    while sql.endswith(";") or sql.rpartition("\n")[2].lstrip().startswith("--"):  # what follows is the next one's
        sql = sql.removesuffix(";").rstrip() if sql.endswith(";") else sql.rpartition("\n")[0].rstrip()
    if not sql:
        raise QueryFileError(f"{where} has no statement")
    used = {m["argument"] for m in _PLACEHOLDER.finditer(sql)} - {None}
    undeclared = used - {argument.name for argument in arguments}
    if undeclared:
        raise QueryFileError(f"{where} uses {', '.join(sorted(undeclared))} and does not declare it")
    order = tuple(argument.name for argument in arguments if argument.name in used)
    numbers = {name: f"${number}" for number, name in enumerate(order, start=1)}
    sql = _PLACEHOLDER.sub(lambda m: m[0] if m["argument"] is None else numbers[m["argument"]], sql)
    return Variant(conditions=given, sql=sql, arguments=order)


# --- Making the coroutine ---------------------------------------------------------------------------------------------


class _Texts(dict[TableNames, str]):
    """A variant's text for each naming of the tables, rendered when it is first asked for."""

    def __init__(self, sql: str) -> None:
        super().__init__()
        self.sql = sql

    def __missing__(self, names: TableNames) -> str:
        self[names] = names.render(self.sql)
        return self[names]


# What an argument may not be called begins with an underscore, so no argument hides what the generated lines need.
_BODIES: Final = {
    Rows.ONE: (
        "    _row = await db.fetchrow({call})\n"
        "    if _row is None:\n"
        "        raise _nothing()\n"
        "    return _scope['make'](_row)\n"
    ),
    Rows.MAYBE: ("    _row = await db.fetchrow({call})\n    return None if _row is None else _scope['make'](_row)\n"),
    Rows.MANY: (
        "    _rows = await db.fetch({call})\n"
        "    if not _rows:\n"
        "        return []\n"
        "    _make = _scope['make'] if _scope['ready'] else _scope['prepare'](_rows[0])\n"
        "    return [_make(_row) for _row in _rows]\n"
    ),
    Rows.COUNT: "    return int((await db.execute({call})).rpartition(' ')[2])\n",
    Rows.NOTHING: "    await db.execute({call})\n",
}


def compile_query(query: Query, result: Any, module_name: str) -> Callable[..., Any]:
    """The coroutine of one statement.

    It is generated, so that a call costs no more than the same lines written by hand: the keywords are checked by
    Python itself, the text is looked up under the executor's names, and a row is turned into its struct by a function
    that was made for exactly these columns when the first row came.
    """
    scope: dict[str, Any] = {"make": None, "ready": False}
    label = f"{module_name}.{query.name}"

    def prepare(row: Any) -> Callable[[Any], Any]:
        scope["make"], scope["ready"] = row_maker(result, tuple(row.keys()), label, query.rows), True
        return typing.cast("Callable[[Any], Any]", scope["make"])

    scope["make"] = lambda row: prepare(row)(row)
    scope["prepare"] = prepare

    def nothing() -> QueryReturnedNothing:
        return QueryReturnedNothing(f"{label} promises exactly one row and the database gave none")

    namespace: dict[str, Any] = {
        "_scope": scope,
        "_suspects": _SUSPECTS,
        "_refuse_naive": _refuse_naive,
        "_nothing": nothing,
    }

    names = [argument.name for argument in query.arguments]
    heads = [f"{a.name}=None" if a.condition else a.name for a in query.arguments]
    body = [f"    if {name}.__class__ in _suspects: _refuse_naive({name!r}, {name})\n" for name in names]
    if query.conditions:
        namespace["_variants"] = [
            (_Texts(variant.sql), tuple(names.index(name) for name in variant.arguments)) for variant in query.variants
        ]
        bits = " | ".join(f"({name} is not None) << {bit}" for bit, name in enumerate(query.conditions))
        body += [
            f"    _texts, _chosen = _variants[{bits}]\n",
            f"    _given = ({', '.join(names)},)\n",
        ]
        call = "_texts[db.names], *[_given[i] for i in _chosen]"
    else:
        namespace["_texts"] = _Texts(query.variants[0].sql)
        call = ", ".join(["_texts[db.names]", *query.variants[0].arguments])
    body.append(_BODIES[query.rows].format(call=call))
    star = ", *, " if heads else ""
    source = f"async def {query.name}(db, /{star}{', '.join(heads)}):\n{''.join(body)}"
    # The names in it passed isidentifier(), the rest is written here; no value and no table's name is among it.
    exec(compile(source, f"<{query.where}>", "exec"), namespace)  # noqa: S102
    function: Callable[..., Any] = namespace[query.name]
    function.__doc__ = query.doc or None
    function.__module__ = module_name
    function.__dict__["query"] = query
    return function


_SUSPECTS: Final = frozenset({datetime, list, tuple})


def _refuse_naive(name: str, value: Any) -> None:
    values: Iterable[Any] = value if isinstance(value, list | tuple) else (value,)
    if any(type(v) is datetime and v.tzinfo is None for v in values):
        raise NaiveInstant(field=name)  # the database would read it in this process's zone


# --- Making structs of rows -------------------------------------------------------------------------------------------


class _Members(dict[str | None, Any]):
    """An enum's members by the label that the database gives."""

    def __init__(self, members: type[Enum], *, optional: bool) -> None:
        super().__init__({member.value: member for member in members})
        self.members = members
        if optional:
            self[None] = None

    def __missing__(self, label: str | None) -> Any:
        raise ValueError(f"the database says {label!r}, which {self.members.__name__} does not know")


def plain_type(declared: Any) -> tuple[Any, bool]:
    """A declared type without its NewType and its `| None`, and whether it had the latter."""
    optional = False
    while True:
        if hasattr(declared, "__supertype__"):
            declared = declared.__supertype__
        elif typing.get_origin(declared) in (typing.Union, types.UnionType) and type(None) in typing.get_args(declared):
            optional = True
            declared = typing.Union[tuple(a for a in typing.get_args(declared) if a is not type(None))]  # noqa: UP007
        else:
            return declared, optional


def struct_columns(struct: type[msgspec.Struct], columns: Sequence[str]) -> dict[str, int]:
    """Field -> the column that fills it.

    Raises:
        TypeError: the columns are not the fields, in their order.
    """
    fields = struct.__struct_fields__
    hints = typing.get_type_hints(struct)
    places = {name: at for at, name in enumerate(columns)}
    money = any(plain_type(hints[field])[0] is Money for field in fields)
    expected = [c for c in columns if c != "currency"] if money and "currency" not in fields else list(columns)
    if expected != list(fields) or len(places) != len(columns):
        raise TypeError(f"{struct.__name__} has the fields {', '.join(fields)}; the columns are {', '.join(columns)}")
    if money and "currency" not in places:
        raise TypeError(f"{struct.__name__} has amounts of money, so a column `currency` is needed")
    return {field: places[field] for field in fields}


def row_maker(result: Any, columns: tuple[str, ...], label: str, rows: Rows) -> Callable[[Any], Any]:
    """A function from a row with these columns to the struct or the value."""
    plain, _ = plain_type(result)
    if _is_struct(plain):
        try:
            return _struct_maker(plain, columns)
        except TypeError as error:
            raise TypeError(f"{label}: {error}") from None
    if len(columns) != 1:
        raise TypeError(f"{label} returns one value; the columns are {', '.join(columns)}")
    namespace: dict[str, Any] = {}
    expression = _conversion(result if rows is not Rows.MAYBE else result | None, "row[0]", "t", namespace)
    value = _evaluate(f"lambda row: {expression}", namespace)
    if rows is not Rows.ONE:
        return value

    def exactly_one(row: Any) -> Any:
        if row[0] is None:
            raise QueryReturnedNothing(f"{label} promises a value and the database gave NULL")
        return value(row)

    return exactly_one


def _struct_maker(struct: type[msgspec.Struct], columns: tuple[str, ...]) -> Callable[[Any], Any]:
    places = struct_columns(struct, columns)
    hints = typing.get_type_hints(struct)
    namespace: dict[str, Any] = {"struct": struct, "Money": Money}
    values: list[str] = []
    for field, at in places.items():
        plain, optional = plain_type(hints[field])
        if plain is Money:
            money = f"Money(row[{at}], row[{columns.index('currency')}])"
            values.append(f"None if row[{at}] is None else {money}" if optional else money)
        else:
            values.append(_conversion(hints[field], f"row[{at}]", f"t{at}", namespace))
    kinds = [parameter.kind for parameter in inspect.signature(struct).parameters.values()]
    positional = all(kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)
    if positional and values == [f"row[{at}]" for at in range(len(columns))]:
        return _evaluate("lambda row: struct(*row)", namespace)
    given = values if positional else [f"{field}={value}" for field, value in zip(places, values, strict=True)]
    return _evaluate(f"lambda row: struct({', '.join(given)})", namespace)


def _evaluate(source: str, namespace: dict[str, Any]) -> Callable[[Any], Any]:
    code = compile(ast.parse(source, mode="eval"), "<row>", "eval")
    maker: Callable[[Any], Any] = eval(code, namespace)  # noqa: S307 - made above, of field numbers and field names
    return maker


def _conversion(declared: Any, value: str, key: str, namespace: dict[str, Any]) -> str:
    """The expression that makes of `value`, as asyncpg gives it, what the field declares."""
    plain, optional = plain_type(declared)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if isinstance(plain, type) and issubclass(plain, Enum):
        namespace[key] = _Members(plain, optional=optional)
        return f"{key}[{value}]"
    if _needs_convert(plain):
        namespace[key] = declared
        namespace["convert"] = msgspec.convert
        return f"convert({value}, {key})"
    made = None
    if origin in (list, tuple, frozenset, set, Sequence):
        item, item_optional = plain_type(arguments[0])
        if isinstance(item, type) and issubclass(item, Enum):
            namespace[key] = _Members(item, optional=item_optional)
            made = f"[{key}[item] for item in {value}]"
        if origin not in (list, Sequence):
            namespace[f"{key}_as"] = origin
            made = f"{key}_as({made or value})"
    if made is None:
        return value
    return f"None if {value} is None else {made}" if optional else made


def _is_struct(plain: Any) -> bool:
    return isinstance(plain, type) and issubclass(plain, msgspec.Struct)


_JSON: Final = (str, int, float, bool, type(None), object, Any, list, dict)


def _needs_convert(plain: Any) -> bool:
    """Whether a field holds structs, or a jsonb object whose values are more than JSON knows."""
    leaves = list(_leaves(plain))
    if any(_is_struct(leaf) for leaf in leaves):
        return True
    return typing.get_origin(plain) in (dict, Mapping) and any(leaf not in _JSON for leaf in leaves)


def _leaves(declared: Any) -> Iterator[Any]:
    plain, _ = plain_type(declared)
    if typing.get_origin(plain) is typing.Literal:
        return
    arguments = [a for a in typing.get_args(plain) if a is not Ellipsis]
    if not arguments:
        yield plain
    for argument in arguments:
        yield from _leaves(argument)
