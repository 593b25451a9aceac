"""Templates into words: Jinja's syntax, of which little is allowed, so that rendering ends soon whatever one says.

A template may say variables, a few filters, conditions, and loops over the rows that a notice has. It has no calls, no
assignments, no arithmetic and no attributes but those of rows: there is nothing to escape with, and nothing that grows.
The sandbox of Jinja is the second wall, the bound on what is written the third.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime
from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape
from typing_extensions import override

from storeroom.core.money import Money, UnknownLocale
from storeroom.messaging.errors import InvalidTemplate
from storeroom.messaging.model import BODY_LENGTH_MAX, HTML_LENGTH_MAX, SUBJECT_LENGTH_MAX, Sources, Words
from storeroom.notices import Fact, Kind, Variable

RENDERED_MAX: Final = 200_000  # characters
SMS_RENDERED_MAX: Final = 1_000
SUBJECT_RENDERED_MAX: Final = 300
ROWS_MAX: Final = 200  # of a list that a template goes over
DEPTH_MAX: Final = 40  # of a template's tree
COMPILED_MAX: Final = 512
_FAULTS: Final = (  # of what a template asks of a value, as a number of a text
    TypeError, ValueError, ArithmeticError, AttributeError, LookupError, AssertionError, RecursionError,
)  # fmt: skip

_ALLOWED: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.For, nodes.If, nodes.CondExpr,
    nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Const, nodes.Filter, nodes.Test, nodes.Concat,
    nodes.Neg,
)  # fmt: skip
FILTERS: Final = frozenset({
    "breaks", "capitalize", "default", "e", "escape", "length", "lower", "title", "trim", "truncate", "upper",
})  # fmt: skip
TESTS: Final = frozenset({"defined", "even", "odd", "eq", "ne", "lt", "le", "gt", "ge"})
LOOP: Final = frozenset({"index", "index0", "revindex", "first", "last", "length"})
COMMON: Final = (
    Variable(name="shop_name", fact=Fact.TEXT, says="of the shop", sample="The shop"),
    Variable(
        name="support_email",
        fact=Fact.TEXT,
        says="where customers write to",
        sample="help@shop.example",
        optional=True,
    ),
    Variable(
        name="support_phone", fact=Fact.TEXT, says="where customers call", sample="+1 212 555 0100", optional=True
    ),
    Variable(
        name="logo_url", fact=Fact.TEXT, says="of the shop's logo", sample="https://shop.example/l.png", optional=True
    ),
)


class Place(msgspec.Struct, frozen=True):
    """Where amounts and instants are read."""

    language: str
    time_zone: str


class _TooLong(TemplateError):
    pass


class _Environment(ImmutableSandboxedEnvironment):
    """Nothing but what is named above; no template loads another."""

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(
            autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=None
        )
        self.filters = {name: self.filters[name] for name in FILTERS if name != "breaks"} | {"breaks": _breaks}
        self.tests = {name: self.tests[name] for name in TESTS}
        self.globals = {}

    @override
    def getattr(self, obj: Any, attribute: str) -> Any:
        """What a row says by that name, and how far a loop is; nothing else has attributes."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        if isinstance(obj, LoopContext) and attribute in LOOP:
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    @override
    def getitem(self, obj: Any, argument: Any) -> Any:
        return self.undefined(obj=obj, name=argument)


def _breaks(text: object) -> Markup:
    """Lines as lines in HTML."""
    return Markup("<br>\n").join(escape(line) for line in str(text).splitlines())


_TEXT: Final = _Environment(autoescape=False)
_HTML: Final = _Environment(autoescape=True)


def check(kind: Kind, sources: Sources, *, place: Place) -> Words:
    """Whether templates can be used for a kind of notice; what they say of its samples.

    Raises:
        InvalidTemplate: names the field, and says what is wrong and where.
    """
    full = {each.name: each.sample for each in (*kind.variables, *COMMON)}
    least = {each.name: each.sample for each in (*kind.variables, *COMMON) if not each.optional}
    for field, source, longest in _fields(sources):
        if not 1 <= len(source) <= longest or "\x00" in source:
            raise InvalidTemplate(field=field, reason=f"1 to {longest} characters")
        _look(field, source, kind)
    words = Words(text="")
    for facts in (least, full):
        try:
            words = render(kind, sources, facts, place=place)
        except TemplateError as error:
            raise InvalidTemplate(field="body", reason=_told(error)) from None
    return words


def render(kind: Kind, sources: Sources, facts: Mapping[str, Any], *, place: Place) -> Words:
    """The words of a message. Raises TemplateError, which `check` has ruled out for whatever it has seen."""
    values = written(kind, facts, place)
    sms = sources.subject is None
    return Words(
        subject=""
        if sources.subject is None
        else _line(_rendered(_TEXT, sources.subject, values, SUBJECT_RENDERED_MAX)),
        text=_rendered(_TEXT, sources.body, values, SMS_RENDERED_MAX if sms else RENDERED_MAX).strip()
        + ("" if sms else "\n"),
        html=None if sources.html is None else _rendered(_HTML, sources.html, values, RENDERED_MAX),
    )


def written(kind: Kind, facts: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Facts as people read them: amounts and instants in their language, and nothing missing."""
    return {each.name: _written(each, facts.get(each.name), place) for each in (*kind.variables, *COMMON)}


def _written(variable: Variable, value: Any, place: Place) -> Any:
    match variable.fact:
        case Fact.ROWS:
            return [
                {each.name: _written(each, row.get(each.name), place) for each in variable.row} for row in value or []
            ]
        case Fact.FLAG:
            return bool(value)
        case Fact.NUMBER:
            return int(value or 0)
        case _ if value is None:
            return ""
        case Fact.MONEY:
            return _money(Money(int(value["amount"]), str(value["currency"])), place.language)
        case Fact.INSTANT:
            at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
            zone = ZoneInfo(place.time_zone)
            return format_datetime(at.astimezone(zone), "long", tzinfo=zone, locale=locale_of(place.language))
        case _:
            return "".join(each for each in str(value) if each.isprintable() or each == "\n")


def _money(amount: Money, language: str) -> str:
    try:
        return amount.format(language)
    except UnknownLocale:
        return amount.format()


def locale_of(language: str) -> Locale:
    """How a language writes dates; English where Babel does not know it."""
    for tag in (language, language.partition("-")[0]):
        try:
            return Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


def _fields(sources: Sources) -> Iterable[tuple[str, str, int]]:
    if sources.subject is not None:
        yield "subject", sources.subject, SUBJECT_LENGTH_MAX
    yield "body", sources.body, BODY_LENGTH_MAX
    if sources.html is not None:
        yield "html", sources.html, HTML_LENGTH_MAX


def _look(field: str, source: str, kind: Kind) -> None:
    try:
        tree = _TEXT.parse(source)
    except (TemplateError, *_FAULTS) as error:
        raise InvalidTemplate(field=field, reason=_told(error)) from None
    known = {each.name: each for each in (*kind.variables, *COMMON)}
    try:
        _Look(field, known).at(tree, {}, 0)
    except RecursionError:
        raise InvalidTemplate(field=field, reason="nested too deep") from None


class _Look:
    """Walks a template's tree and refuses whatever is not named above."""

    def __init__(self, field: str, known: Mapping[str, Variable]) -> None:
        self._field, self._known = field, known

    def at(self, node: nodes.Node, rows: Mapping[str, Variable], depth: int) -> None:
        """One node and what is in it; `rows` are the names that loops have given."""
        if depth > DEPTH_MAX:
            raise self._refused(node, "nested too deep")
        if type(node) not in _ALLOWED:
            raise self._refused(node, f"no {type(node).__name__.lower()} here")
        if isinstance(node, nodes.For):
            self._loop(node, rows, depth)
            return
        if isinstance(node, nodes.Name) and node.name not in self._known and node.name not in rows:
            raise self._refused(node, f"there is no {node.name!r}; there are {', '.join(sorted(self._known))}")
        if isinstance(node, nodes.Getattr):
            self._attribute(node, rows)
            return
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise self._refused(node, f"no filter {node.name!r}; there are {', '.join(sorted(FILTERS))}")
        if isinstance(node, nodes.Test) and node.name not in TESTS:
            raise self._refused(node, f"no test {node.name!r}")
        for child in node.iter_child_nodes():
            self.at(child, rows, depth + 1)

    def _loop(self, node: nodes.For, rows: Mapping[str, Variable], depth: int) -> None:
        over = self._known.get(node.iter.name) if isinstance(node.iter, nodes.Name) else None
        if over is None or over.fact is not Fact.ROWS or node.recursive or node.test is not None:
            lists = sorted(each.name for each in self._known.values() if each.fact is Fact.ROWS)
            raise self._refused(node, f"a loop goes over one of: {', '.join(lists) or 'nothing, in this kind'}")
        if not isinstance(node.target, nodes.Name) or node.target.name in {*self._known, "loop"}:
            raise self._refused(node, "a loop names its rows by a name of its own")
        if rows:
            raise self._refused(node, "no loop in another")
        inside = {**rows, node.target.name: over, "loop": over}
        for child in node.body:
            self.at(child, inside, depth + 1)
        for child in node.else_:
            self.at(child, rows, depth + 1)

    def _attribute(self, node: nodes.Getattr, rows: Mapping[str, Variable]) -> None:
        if not isinstance(node.node, nodes.Name) or node.node.name not in rows:
            raise self._refused(node, f"{node.attr!r} of what is no row")
        name = node.node.name
        known = LOOP if name == "loop" else {each.name for each in rows[name].row}
        if node.attr not in known:
            raise self._refused(node, f"there is no {name}.{node.attr}; there are {', '.join(sorted(known))}")

    def _refused(self, node: nodes.Node, reason: str) -> InvalidTemplate:
        return InvalidTemplate(field=self._field, reason=f"line {node.lineno}: {reason}")


@lru_cache(maxsize=COMPILED_MAX)
def _compiled(environment: _Environment, source: str) -> Template:
    return environment.from_string(source)


def _rendered(environment: _Environment, source: str, values: Mapping[str, Any], longest: int) -> str:
    written, left = [], longest
    try:
        for part in _compiled(environment, source).generate(values):
            left -= len(part)
            if left < 0:
                raise _TooLong(f"it becomes longer than {longest} characters")
            written.append(part)
    except _FAULTS as error:
        raise TemplateError(str(error) or type(error).__name__) from None
    return "".join(written)


def _line(text: str) -> str:
    """A subject is one line, whatever stood in what it says."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _told(error: BaseException) -> str:
    line = getattr(error, "lineno", None)
    return f"{f'line {line}: ' if line else ''}{str(error) or type(error).__name__}"[:300]
