"""What the tables are called: the one place where `{orders}` becomes the name that this installation gave it.

Statements, migrations and functions write every name they define in braces: tables, types, functions, indexes and the
constraints that code looks at. A shop that shares its database with something else gives all of them a prefix, or gives
one of them a name of its own.
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from typing_extensions import override

from storeroom.core.errors import Misconfigured

IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]*")
NAME_BYTES_MAX: Final = 54  # PostgreSQL keeps 63; a distributed table's shards add up to nine of their own

# Reserved in PostgreSQL 15 to 18, also those that may only name a function or a type.
RESERVED: Final = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between binary bigint bit boolean both case cast
    char character check coalesce collate collation column concurrently constraint create cross current_catalog
    current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable
    desc distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group
    grouping having ilike in initially inner inout int integer intersect interval into is isnull join json json_array
    json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table json_value
    lateral leading least left like limit localtime localtimestamp merge_action national natural nchar none normalize
    not notnull null nullif numeric offset on only or order out outer overlaps overlay placing position precision
    primary real references returning right row select session_user setof similar smallint some substring symmetric
    system_user table tablesample then time timestamp to trailing treat trim true union unique user using values varchar
    variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces
    xmlparse xmlpi xmlroot xmlserialize xmltable
    """.split()  # noqa: SIM905 - a list of this length reads worse
)

# The pay server's configuration: two of its entities are not called like their tables, and only there.
_CEDROS_KEY: Final = re.compile(r"storage\.schema_mapping\.([a-z0-9_]+)\.table_name")
_CEDROS_VARIABLE: Final = re.compile(r"CEDROS_STORAGE_SCHEMA_MAPPING_([A-Z0-9_]+)_TABLE_NAME")
_CEDROS_ENTITIES: Final = MappingProxyType({"payments": "payment_transactions", "sessions": "stripe_sessions"})

# What a statement's braces and placeholders are never looked for in. The order matters: E'..' before '..'.
_STRINGS: Final = r"\b[eE]'(?:[^'\\]|\\.|'')*'" r"|'(?:[^']|'')*'" r'|"(?:[^"]|"")*"'
_DOLLARS: Final = r"\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$"
_COMMENTS: Final = r"--[^\n]*|/\*.*?\*/"
UNTOUCHED: Final = f"{_STRINGS}|{_DOLLARS}|{_COMMENTS}|::|:="
_BRACES: Final = re.compile(f"{UNTOUCHED}|\\{{(?P<name>[^{{}}]*)\\}}", re.DOTALL)
_BRACES_INSIDE: Final = re.compile(f"{_STRINGS}|{_COMMENTS}|::|:=|\\{{(?P<name>[^{{}}]*)\\}}", re.DOTALL)


class InvalidTableName(Misconfigured):
    """A prefix or a mapped name cannot be used as an identifier, or two things would get the same one."""

    code = "database.invalid_table_name"

    def __init__(self, *, name: str, reason: str) -> None:
        super().__init__(f"{name!r} cannot name a table: {reason}")
        self.name, self.reason = name, reason


class TableNames:
    """The names of one installation. Immutable and hashable, so rendered statements are kept under it."""

    __slots__ = ("_hash", "_logical", "prefix", "tables")

    prefix: str
    tables: Mapping[str, str]
    _logical: dict[str, str]
    _hash: int

    def __init__(self, prefix: str = "", tables: Mapping[str, str] | None = None) -> None:
        """Check every name before any statement is written with it.

        Args:
            prefix: goes before every name that `tables` does not give.
            tables: name as the statements write it -> whole name in the database, without the prefix.

        Raises:
            InvalidTableName: a name is no plain identifier, is reserved, is too long, or is given twice.
        """
        own = dict(tables or {})
        if prefix and not IDENTIFIER.fullmatch(prefix):
            raise InvalidTableName(name=prefix, reason="a prefix is made of a-z, 0-9 and _, and begins with no digit")
        logical: dict[str, str] = {}
        for name, actual in own.items():
            if not IDENTIFIER.fullmatch(name):
                raise InvalidTableName(name=name, reason="no table of storeroom is called so")
            _check(actual)
            if actual in logical:
                raise InvalidTableName(name=actual, reason=f"{logical[actual]} and {name} would both be called so")
            logical[actual] = name
        object.__setattr__(self, "prefix", prefix)
        object.__setattr__(self, "tables", MappingProxyType(own))
        object.__setattr__(self, "_logical", logical)
        object.__setattr__(self, "_hash", hash((prefix, frozenset(own.items()))))

    @override
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("TableNames is immutable: statements are kept under it")

    @override
    def __delattr__(self, name: str) -> None:
        raise AttributeError("TableNames is immutable: statements are kept under it")

    @override
    def __hash__(self) -> int:
        return self._hash

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, TableNames) and self.prefix == other.prefix and self.tables == other.tables

    @override
    def __repr__(self) -> str:
        return f"TableNames(prefix={self.prefix!r}, tables={dict(self.tables)!r})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "TableNames":
        """Read STOREROOM_TABLE_PREFIX, and STOREROOM_TABLE_NAMES (a JSON object, or `orders=sales,carts=baskets`).

        Names may also be given as the pay server's configuration has them: `storage.schema_mapping.<entity>.table_name`
        for a name in STOREROOM_TABLE_NAMES, or a variable CEDROS_STORAGE_SCHEMA_MAPPING_<ENTITY>_TABLE_NAME.
        """
        names = _parse_names(environment.get("STOREROOM_TABLE_NAMES", "").strip())
        for variable, text in sorted(environment.items()):
            match = _CEDROS_VARIABLE.fullmatch(variable)
            if match is None or not text.strip():
                continue
            name = _table_of(match[1].lower())
            if names.setdefault(name, text.strip()) != text.strip():
                raise InvalidTableName(name=text.strip(), reason=f"{variable} names {name}, which has another name")
        return cls(environment.get("STOREROOM_TABLE_PREFIX", "").strip(), names)

    def resolve(self, name: str) -> str:
        """The identifier that stands for `{name}` in this installation."""
        own = self.tables.get(name)
        if own is not None:
            return own
        if not IDENTIFIER.fullmatch(name):
            raise InvalidTableName(name=name, reason="in braces stands one plain name: a-z, 0-9 and _")
        actual = self.prefix + name
        _check(actual)
        taken_by = self._logical.get(actual)
        if taken_by is not None:
            raise InvalidTableName(name=actual, reason=f"{taken_by} and {name} would both be called so")
        return actual

    def render(self, sql: str, *, inside_dollar: bool = False) -> str:
        """Replace every `{name}` outside of strings, quoted identifiers, comments and dollar quotes.

        Args:
            sql: a statement, or a file of them.
            inside_dollar: also between dollar quotes, where the bodies of functions stand.
        """
        pattern = _BRACES_INSIDE if inside_dollar else _BRACES
        return pattern.sub(lambda m: m[0] if m["name"] is None else self.resolve(m["name"]), sql)

    def original(self, identifier: str) -> str:
        """The name as the statements write it; also of what PostgreSQL named after a table (`shop_orders_pkey`)."""
        if identifier in self._logical:
            return self._logical[identifier]
        for actual in sorted(self._logical, key=len, reverse=True):
            if identifier.startswith(actual + "_"):
                return self._logical[actual] + identifier[len(actual) :]
        return identifier.removeprefix(self.prefix)


def _check(actual: str) -> None:
    if not IDENTIFIER.fullmatch(actual):
        raise InvalidTableName(name=actual, reason="a name is made of a-z, 0-9 and _, and begins with no digit")
    if len(actual) > NAME_BYTES_MAX:
        raise InvalidTableName(name=actual, reason=f"it is longer than {NAME_BYTES_MAX} bytes")
    if actual in RESERVED:
        raise InvalidTableName(name=actual, reason="PostgreSQL reserves the word")
    if actual.startswith("pg_"):
        raise InvalidTableName(name=actual, reason="PostgreSQL keeps names that begin with pg_ for itself")


def _parse_names(text: str) -> dict[str, str]:
    if not text.startswith("{"):
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        if any(not equals for _, equals, _ in pairs):
            raise InvalidTableName(name=text, reason="STOREROOM_TABLE_NAMES reads orders=sales,carts=baskets")
        names = [(name.strip(), actual.strip()) for name, _, actual in pairs]
    else:
        try:
            found = json.loads(text, object_pairs_hook=list)
        except ValueError as error:
            raise InvalidTableName(name=text, reason=f"STOREROOM_TABLE_NAMES is no JSON object ({error})") from error
        names = [(name, actual) for name, actual in found if isinstance(actual, str)]
        if len(names) != len(found):
            raise InvalidTableName(name=text, reason="STOREROOM_TABLE_NAMES maps a name to a name")
    names = [(_table_of(key[1]) if (key := _CEDROS_KEY.fullmatch(name)) else name, actual) for name, actual in names]
    if len(dict(names)) != len(names):
        raise InvalidTableName(name=text, reason="STOREROOM_TABLE_NAMES names one table twice")
    return dict(names)


def _table_of(entity: str) -> str:
    return _CEDROS_ENTITIES.get(entity, entity)
