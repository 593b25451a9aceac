"""The rules that every statement of storeroom keeps, read off its text.

They are what keeps one tenant's rows from another's statement, and what lets the same statement run on a server of many
machines (Citus), where most mistakes of this kind show only as an error or, worse, as silence:

    R1  every reference to a table says which tenant: `alias.tenant_id = :tenant_id`, in its own scope
    X1  no volatile function in UPDATE or DELETE
    X2  no stable function or operator over a column in UPDATE or DELETE (`expires_at + interval '1 day'`)
    X3  no coalesce(column, now()), no CASE that yields now(), no simple CASE beside now() in UPDATE or DELETE
    X4  no now(), no other stable function and no subquery in ON CONFLICT DO UPDATE
    X5  RETURNING is immutable
    X6  no subquery in VALUES, no MERGE
    X7  nobody changes a tenant_id
    Q3  no IN (SELECT .. LIMIT .. FOR UPDATE): it claims more rows than the limit says
    L1  no row locks across tenants
    L3  pg_notify() stands in a statement of its own
    and no SELECT *, no OFFSET without a bound, no `:x IS NULL OR`, no name outside of braces, no EXECUTE, no trigger

A job that reads every tenant (`-- scope: all tenants`) is excused from the parameter, not from joining by tenant_id.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pglast import ast, enums, parse_plpgsql, parse_sql, split
from pglast.parser import ParseError

from storeroom.database.names import TableNames
from storeroom.database.queries import Query, parse

PREFIX = "sr_"  # whatever was written in braces begins with it; so what does not, was not
NAMES = TableNames(PREFIX)

# Tables that belong to the installation and not to a tenant.
WITHOUT_TENANT = frozenset({"scheduled_jobs", "schema_migrations", "tenant_hosts"})

NOW = frozenset({"now", "transaction_timestamp", "statement_timestamp"})
VOLATILE = frozenset(
    """
    random gen_random_uuid uuidv4 uuidv7 uuid_generate_v4 clock_timestamp timeofday nextval setval currval lastval
    set_config pg_notify pg_sleep pg_advisory_lock pg_advisory_xact_lock pg_try_advisory_lock
    pg_try_advisory_xact_lock pg_advisory_unlock txid_current pg_current_xact_id
    """.split()  # noqa: SIM905
)
STABLE = frozenset(
    """
    date_trunc date_part extract to_char to_timestamp age concat concat_ws format timezone to_json to_jsonb
    row_to_json json_build_object json_build_array jsonb_build_object jsonb_build_array json_agg jsonb_agg
    json_object_agg jsonb_object_agg array_to_string current_setting
    """.split()  # noqa: SIM905
)
ENUM_LIKE = re.compile(r"(?:.*_)?(?:status|state|kind|role|method|policy|stage)")
INSTANT = re.compile(r".*_at")
INSTANT_CASTS = frozenset({"date", "text", "varchar", "timestamp", "time"})

Fault = tuple[str, str]


@dataclass
class Scope:
    """What a statement may lean on: which value is the tenant's, and what is a variable rather than a column."""

    tenant_number: int | None = None
    in_function: bool = False
    all_tenants: bool = False
    bounded_offset: bool = False
    variables: frozenset[str] = frozenset()
    arguments: frozenset[str] = frozenset()
    ctes: set[str] = field(default_factory=set)


# --- Files ------------------------------------------------------------------------------------------------------------


def faults_of_queries(text: str, where: str = "queries.sql") -> list[str]:
    """The faults of every statement, in every combination of its optional conditions."""
    found: dict[str, None] = {}
    for query in parse(text, where=where):
        for rule, message in _faults_of_query(query):
            found[f"{query.where} {query.name}: {rule}: {message}"] = None
    return list(found)


def _faults_of_query(query: Query) -> Iterator[Fault]:
    for variant in query.variants:
        number = variant.arguments.index("tenant_id") + 1 if "tenant_id" in variant.arguments else None
        scope = Scope(number, all_tenants=query.all_tenants, bounded_offset=query.bounded_offset)
        yield from faults_of_statement(NAMES.render(variant.sql), scope)


def faults_of_functions(text: str, where: str = "functions.sql") -> list[str]:
    """The faults of every function of a file."""
    found: dict[str, None] = {}
    for statement in split(NAMES.render(text, inside_dollar=True)):
        try:
            (raw,) = parse_sql(statement)
            name = _function_name(raw.stmt)
            for rule, message in _faults_of_definition(raw.stmt, statement):
                found[f"{where} {name}: {rule}: {message}"] = None
        except ParseError as error:
            found[f"{where}: syntax: {error} in {statement[:80]!r}"] = None
    return list(found)


def _function_name(node: ast.Node) -> str:
    return node.funcname[-1].sval if isinstance(node, ast.CreateFunctionStmt) else type(node).__name__


def _faults_of_definition(node: ast.Node, statement: str) -> Iterator[Fault]:
    if isinstance(node, ast.CreateTrigStmt | ast.CreateEventTrigStmt | ast.RuleStmt):
        yield "trigger", "nothing fires by itself"
    if not isinstance(node, ast.CreateFunctionStmt):
        return
    if node.returnType is not None and node.returnType.names[-1].sval in ("trigger", "event_trigger"):
        yield "trigger", "nothing fires by itself"
        return
    options = {option.defname: option.arg for option in node.options or ()}
    language = options["language"].sval.lower() if "language" in options else "sql"
    arguments = [p.name for p in node.parameters or () if p.name]
    scope = Scope(in_function=True, arguments=frozenset(arguments), variables=frozenset(arguments))
    touches = False
    if language == "plpgsql":
        # The parser knows no catalogue: a row of a table is to it a record, and an array of a type of ours any array.
        readable = re.sub(rf"[\w.]+%ROWTYPE(?!\s*\[)|\b{PREFIX}\w+%TYPE", "record", statement, flags=re.IGNORECASE)
        readable = re.sub(rf"\b{PREFIX}\w+(?:%\w+)?\s*(?=\[\])", "text", readable)
        tree = parse_plpgsql(readable)
        scope.variables |= frozenset(_variables(tree))
        if any(_has_key(tree, key) for key in ("PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "dynquery")):
            yield "EXECUTE", "a statement that is put together cannot be read here"
        for sql, is_statement in _embedded(tree):
            touches = touches or bool(_tables_in(sql, scope))
            for rule, message in faults_of_statement(sql, scope):
                if is_statement or rule != "ladder":  # IF p_x IS NULL OR .. THEN has no plan to spoil
                    yield rule, message
    elif "as" in options or node.sql_body is not None:
        bodies = [split(options["as"][0].sval)] if "as" in options else []
        for sql in (sql for body in bodies for sql in body):
            touches = touches or bool(_tables_in(sql, scope))
            yield from faults_of_statement(sql, scope)
        if node.sql_body is not None:
            touches = True
            yield "body", "write the body between dollar quotes, where it can be read"
    if touches and (not arguments or arguments[0] != "p_tenant"):
        yield "R1", "the first argument of a function is p_tenant"


def _variables(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        if "refname" in tree:
            yield tree["refname"]
        for value in tree.values():
            yield from _variables(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _variables(value)


def _has_key(tree: object, key: str) -> bool:
    if isinstance(tree, dict):
        return key in tree or any(_has_key(value, key) for value in tree.values())
    return isinstance(tree, list) and any(_has_key(value, key) for value in tree)


def _embedded(tree: object) -> Iterator[tuple[str, bool]]:
    """Every statement and expression of a function, each as a statement, and whether it was one."""
    if isinstance(tree, list):
        for value in tree:
            yield from _embedded(value)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key != "PLpgSQL_expr":
                yield from _embedded(value)
                continue
            mode = value["parseMode"]
            if mode == 0:
                yield value["query"], True
            elif mode == 2:
                yield "SELECT " + value["query"], False
            elif mode >= 3:
                yield "SELECT " + re.split(r":=|=", value["query"], maxsplit=1)[1], False


# --- Statements -------------------------------------------------------------------------------------------------------


def faults_of_statement(sql: str, scope: Scope) -> Iterator[Fault]:
    """The faults of one rendered statement."""
    try:
        statements = parse_sql(sql)
    except ParseError as error:
        yield "syntax", str(error)
        return
    if len(statements) != 1:
        yield "syntax", "one statement under one name"
        return
    root = statements[0].stmt
    scope.ctes = {node.ctename for node, _ in walk(root) if isinstance(node, ast.CommonTableExpr)}
    named = {
        node.alias.aliasname if node.alias else node.relname
        for node, _ in walk(root)
        if isinstance(node, ast.RangeVar) and node.relname not in scope.ctes
    }
    tables = 0
    for node, in_sublink in walk(root):
        if isinstance(node, ast.SelectStmt | ast.UpdateStmt | ast.DeleteStmt):
            yield from _tenant(node, scope, in_sublink=in_sublink)
        if isinstance(node, ast.SelectStmt):
            yield from _select(node, scope)
        elif isinstance(node, ast.InsertStmt):
            yield from _insert(node, scope)
        elif isinstance(node, ast.UpdateStmt):
            if any(target.name == "tenant_id" for target in node.targetList):
                yield "X7", "a row stays with its tenant"
            yield from _modify([*node.targetList, node.whereClause], scope)
            yield from _returning(node, scope)
        elif isinstance(node, ast.DeleteStmt):
            yield from _modify([node.whereClause], scope)
            yield from _returning(node, scope)
        elif isinstance(node, ast.MergeStmt):
            yield "X6", "MERGE; write INSERT .. ON CONFLICT"
        elif isinstance(node, ast.RangeVar):
            tables += node.relname not in scope.ctes
            yield from _braces(node, scope)
        elif isinstance(node, ast.ResTarget) and _is_star(node.val, named):
            yield "SELECT *", "name the columns: a new one must not change what a statement gives"
        elif isinstance(node, ast.SubLink):
            yield from _claim(node)
        elif isinstance(node, ast.BoolExpr):
            yield from _ladder(node, scope)
        elif isinstance(node, ast.FuncCall):
            yield from _call(node, scope)
    if (tables or scope.in_function) and "pg_notify" in _functions(root):
        yield "L3", "pg_notify() beside a table is lost where the rows live on another machine"


def walk(node: object, *, in_sublink: bool = False) -> Iterator[tuple[ast.Node, bool]]:
    """Every node, and whether it stands in a subquery of an expression."""
    if isinstance(node, tuple | list):
        for item in node:
            yield from walk(item, in_sublink=in_sublink)
    elif isinstance(node, ast.Node):
        yield node, in_sublink
        within = (in_sublink or isinstance(node, ast.SubLink)) and not isinstance(
            node, ast.RangeSubselect | ast.CommonTableExpr
        )
        if isinstance(node, ast.LockingClause):
            return  # FOR UPDATE OF o: an alias, though it is parsed as a table
        for slot in node:
            yield from walk(getattr(node, slot), in_sublink=within)


def _braces(table: ast.RangeVar, scope: Scope) -> Iterator[Fault]:
    own = table.relname.startswith(PREFIX)
    if table.relname in scope.ctes:
        if own:
            yield "braces", f"the WITH query {table.relname} hides a table"
    elif not own and table.schemaname not in ("pg_catalog", "information_schema"):
        yield "braces", f"{table.relname} is a table: write {{{table.relname}}}"


def _tables_in(sql: str, scope: Scope) -> list[str]:
    try:
        nodes = [node for node, _ in walk([raw.stmt for raw in parse_sql(sql)])]
    except ParseError:
        return []
    ctes = {node.ctename for node in nodes if isinstance(node, ast.CommonTableExpr)}
    return [n.relname for n in nodes if isinstance(n, ast.RangeVar) and n.relname not in ctes | scope.variables]


def _needs_tenant(table: ast.RangeVar, scope: Scope) -> bool:
    name = table.relname
    return name not in scope.ctes and name.startswith(PREFIX) and name.removeprefix(PREFIX) not in WITHOUT_TENANT


# --- R1 ---------------------------------------------------------------------------------------------------------------


def _tenant(node: ast.Node, scope: Scope, *, in_sublink: bool) -> Iterator[Fault]:
    tables: dict[str, ast.RangeVar] = {}
    others: set[str] = set()
    conditions: list[tuple[ast.Node, set[str] | None]] = []
    using: list[set[str]] = []
    if isinstance(node, ast.SelectStmt):
        items = node.fromClause or ()
    elif isinstance(node, ast.UpdateStmt):
        items = (node.relation, *(node.fromClause or ()))
    else:
        items = (node.relation, *(node.usingClause or ()))
    for item in items:
        _collect(item, scope, tables, others, conditions, using)
    if node.whereClause is not None:
        conditions.extend((condition, None) for condition in _ands(node.whereClause))
    if not tables:
        return
    told = {alias for condition, holds_for in conditions for alias in _told(condition, tables, holds_for, scope)}
    if not scope.all_tenants:
        for alias in sorted(tables.keys() - told):
            yield "R1", f"{_called(alias, tables)} is read without `{alias}.tenant_id = :tenant_id` in the same scope"
        return
    yield from _joined(tables, others, conditions, using, told, node, in_sublink=in_sublink)
    if isinstance(node, ast.SelectStmt) and node.lockingClause and tables.keys() - told:
        yield "L1", "rows of all tenants cannot be locked; claim tenant by tenant"


def _called(alias: str, tables: dict[str, ast.RangeVar]) -> str:
    name = tables[alias].relname.removeprefix(PREFIX)
    return f"{{{name}}}" if alias == tables[alias].relname else f"{{{name}}} {alias}"


def _collect(
    item: ast.Node,
    scope: Scope,
    tables: dict[str, ast.RangeVar],
    others: set[str],
    conditions: list[tuple[ast.Node, set[str] | None]],
    using: list[set[str]],
) -> set[str]:
    """The aliases of a FROM item; `conditions` gets its ON clauses, each with the aliases that it narrows."""
    if isinstance(item, ast.JoinExpr):
        left = _collect(item.larg, scope, tables, others, conditions, using)
        right = _collect(item.rarg, scope, tables, others, conditions, using)
        narrows = {
            enums.JoinType.JOIN_INNER: left | right,
            enums.JoinType.JOIN_LEFT: right,
            enums.JoinType.JOIN_RIGHT: left,
        }.get(item.jointype, set())
        if item.quals is not None:
            conditions.extend((condition, narrows) for condition in _ands(item.quals))
        if any(column.sval == "tenant_id" for column in item.usingClause or ()):
            using.append(left | right)
        return left | right
    alias = item.alias.aliasname if getattr(item, "alias", None) else getattr(item, "relname", None)
    if alias is None:
        return set()
    if isinstance(item, ast.RangeVar) and _needs_tenant(item, scope):
        tables[alias] = item
    else:
        others.add(alias)
    return {alias}


def _ands(node: ast.Node) -> Iterator[ast.Node]:
    if isinstance(node, ast.BoolExpr) and node.boolop == enums.BoolExprType.AND_EXPR:
        for argument in node.args:
            yield from _ands(argument)
    else:
        yield node


def _equality(node: ast.Node) -> tuple[ast.Node, ast.Node] | None:
    if isinstance(node, ast.A_Expr) and node.kind == enums.A_Expr_Kind.AEXPR_OP and node.name[-1].sval == "=":
        return node.lexpr, node.rexpr
    return None


def _told(
    condition: ast.Node, tables: dict[str, ast.RangeVar], holds_for: set[str] | None, scope: Scope
) -> Iterator[str]:
    sides = _equality(condition)
    if sides is None:
        return
    for column, value in (sides, sides[::-1]):
        if _is_tenant(value, scope):
            alias = _tenant_column(column)
            if alias == "" and len(tables) == 1:
                alias = next(iter(tables))
            if alias in tables and (holds_for is None or alias in holds_for):
                yield alias


def _tenant_column(node: ast.Node) -> str | None:
    """The alias in `alias.tenant_id`, "" where there is none, None for anything else."""
    if not isinstance(node, ast.ColumnRef):
        return None
    path = [getattr(part, "sval", "*") for part in node.fields]
    if path[-1] != "tenant_id":
        return None
    return path[-2] if len(path) > 1 else ""


def _is_tenant(node: ast.Node, scope: Scope) -> bool:
    while isinstance(node, ast.TypeCast):
        node = node.arg
    if isinstance(node, ast.ParamRef):
        return node.number == scope.tenant_number
    return (
        scope.in_function
        and isinstance(node, ast.ColumnRef)
        and getattr(node.fields[-1], "sval", "") == "p_tenant"
        and "p_tenant" in scope.arguments
    )


def _joined(
    tables: dict[str, ast.RangeVar],
    others: set[str],
    conditions: list[tuple[ast.Node, set[str] | None]],
    using: list[set[str]],
    told: set[str],
    node: ast.Node,
    *,
    in_sublink: bool,
) -> Iterator[Fault]:
    """Where all tenants are read at once, what is joined is joined by tenant_id."""
    groups = [{alias} for alias in (*tables, *others)]
    if told:
        groups.append(set(told))
    groups += using
    outside = False
    for condition, _ in conditions:
        sides = _equality(condition)
        if sides is None:
            continue
        aliases = {_tenant_column(side) for side in sides}
        if None in aliases or len(aliases) != 2:
            continue
        if "" in aliases and len(tables) == 1:
            aliases = (aliases - {""}) | {next(iter(tables))}
        outside = outside or bool(aliases - tables.keys() - others)
        groups.append({alias for alias in aliases if alias})
    reached = {next(iter(tables))}
    while True:
        wider = reached.union(*(group for group in groups if group & reached))
        if wider == reached:
            break
        reached = wider
    for alias in sorted(tables.keys() - reached):
        yield "R1", f"{_called(alias, tables)} is joined without tenant_id"
    if in_sublink and not outside and not told and _looks_outside(node, tables.keys() | others):
        yield "R1", f"{_called(next(iter(tables)), tables)} looks at the row outside without comparing tenant_id"


def _looks_outside(node: ast.Node, inside: set[str]) -> bool:
    return any(
        isinstance(n, ast.ColumnRef) and len(n.fields) > 1 and n.fields[0].sval not in inside for n, _ in walk(node)
    )


def _call(node: ast.FuncCall, scope: Scope) -> Iterator[Fault]:
    name = node.funcname[-1].sval
    if not (name.startswith(PREFIX) and re.search(r"_v\d+$", name)) or scope.all_tenants:
        return
    if not node.args or not _is_tenant(node.args[0], scope):
        yield "R1", f"{name.removeprefix(PREFIX)} is called without the tenant as its first argument"


# --- SELECT and INSERT ------------------------------------------------------------------------------------------------


def _select(node: ast.SelectStmt, scope: Scope) -> Iterator[Fault]:
    if node.limitOffset is not None and not scope.bounded_offset:
        yield "OFFSET", "page by the last row's key, or say `-- bounded offset`"


def _is_star(node: object, tables: set[str]) -> bool:
    """A star over a table; what a WITH, a subquery or a function of the statement itself gives is listed there."""
    if not (isinstance(node, ast.ColumnRef) and isinstance(node.fields[-1], ast.A_Star)):
        return False
    return len(node.fields) == 1 or node.fields[0].sval in tables


def _insert(node: ast.InsertStmt, scope: Scope) -> Iterator[Fault]:
    if _needs_tenant(node.relation, scope):
        yield from _inserted_tenant(node, scope)
    values = getattr(node.selectStmt, "valuesLists", None)
    if values and any(isinstance(inner, ast.SubLink) for inner, _ in walk(values)):
        yield "X6", "a subquery in VALUES; write INSERT .. SELECT"
    conflict = node.onConflictClause
    if conflict is not None and conflict.action == enums.OnConflictAction.ONCONFLICT_UPDATE:
        if any(target.name == "tenant_id" for target in conflict.targetList):
            yield "X7", "a row stays with its tenant"
        for inner, _ in walk([conflict.targetList, conflict.whereClause]):
            if _is_now(inner) or _function(inner) in STABLE | VOLATILE:
                yield "X4", f"{_shown(inner)} in ON CONFLICT DO UPDATE; take it from EXCLUDED or pass it in"
            elif isinstance(inner, ast.SubLink):
                yield "X4", "a subquery in ON CONFLICT DO UPDATE"
            elif _is_interval_sum(inner, scope):
                yield "X4", "an instant plus an interval in ON CONFLICT DO UPDATE; pass the instant in"
    yield from _returning(node, scope)


def _inserted_tenant(node: ast.InsertStmt, scope: Scope) -> Iterator[Fault]:
    table = f"{{{node.relation.relname.removeprefix(PREFIX)}}}"
    columns = [column.name for column in node.cols or ()]
    if "tenant_id" not in columns:
        yield "R1", f"{table} is filled without naming tenant_id"
        return
    at = columns.index("tenant_id")
    for select in _branches(node.selectStmt):
        rows = select.valuesLists or [[target.val for target in select.targetList or ()]]
        for row in rows:
            value = row[at] if at < len(row) else None
            # A column is the tenant of a row that R1 has already looked at.
            copied = not select.valuesLists and value is not None and _tenant_column(value) is not None
            if value is None or not (_is_tenant(value, scope) or copied):
                yield "R1", f"the tenant_id put into {table} is not the caller's"


def _branches(select: ast.SelectStmt | None) -> Iterator[ast.SelectStmt]:
    if select is None:
        return
    if select.larg is not None:
        yield from _branches(select.larg)
        yield from _branches(select.rarg)
    else:
        yield select


# --- X: what a distributed UPDATE may say -----------------------------------------------------------------------------


def _modify(parts: list[ast.Node | None], scope: Scope) -> Iterator[Fault]:
    nodes = [node for node, _ in walk([part for part in parts if part is not None])]
    uses_now = any(_is_now(node) for node in nodes)
    for node in nodes:
        name = _function(node)
        if name in VOLATILE or (name or "").startswith(PREFIX):
            yield "X1", f"{_shown(node)} in UPDATE or DELETE is volatile"
        elif name in STABLE and _has_column(node, scope):
            yield "X2", f"{_shown(node)} of a column in UPDATE or DELETE is stable"
        elif _is_interval_sum(node, scope):
            yield "X2", "an instant plus an interval over a column; pass the instant in"
        elif _is_stable_cast(node, scope):
            yield "X2", "a cast over a column that depends on settings or on an enum's labels"
        elif isinstance(node, ast.CoalesceExpr) and _has_column(node, scope) and _has_now(node):
            yield "X3", "coalesce(column, now())"
        elif isinstance(node, ast.CaseExpr):
            if any(_has_now(when.result) for when in node.args) or _has_now(node.defresult):
                yield "X3", "CASE .. THEN now()"
            elif node.arg is not None and uses_now:
                yield "X3", "a simple CASE beside now(); write CASE WHEN x = 'y'"


def _returning(node: ast.Node, scope: Scope) -> Iterator[Fault]:
    clause = getattr(node, "returningClause", None)
    targets = clause.exprs if clause is not None else getattr(node, "returningList", None)
    for inner, _ in walk(targets or ()):
        if _is_now(inner) or _function(inner) in STABLE | VOLATILE:
            yield "X5", f"{_shown(inner)} in RETURNING; return the columns and SELECT from them"
        elif _is_stable_cast(inner, scope) or _is_interval_sum(inner, scope):
            yield "X5", "RETURNING gives plain columns, no casts that depend on settings or labels"


def _function(node: object) -> str | None:
    if not isinstance(node, ast.FuncCall):
        return None
    name: str = node.funcname[-1].sval
    return name


def _functions(root: ast.Node) -> set[str | None]:
    return {_function(node) for node, _ in walk(root)}


def _is_now(node: object) -> bool:
    return _function(node) in NOW or isinstance(node, ast.SQLValueFunction)


def _has_now(node: object) -> bool:
    return any(_is_now(inner) for inner, _ in walk(node))


def _shown(node: object) -> str:
    return f"{(_function(node) or 'current_timestamp').removeprefix(PREFIX)}()"


def _column(node: object, scope: Scope) -> str | None:
    """The name of a column; None for a variable of the function and for everything else."""
    if not isinstance(node, ast.ColumnRef):
        return None
    path = [getattr(part, "sval", "*") for part in node.fields]
    return None if path[0] in scope.variables else path[-1]


def _has_column(node: ast.Node, scope: Scope) -> bool:
    return any(_column(inner, scope) is not None for inner, _ in walk(node))


def _is_interval_sum(node: object, scope: Scope) -> bool:
    if not (isinstance(node, ast.A_Expr) and node.name[-1].sval in ("+", "-") and node.lexpr is not None):
        return False
    if not _has_column(node, scope):
        return False
    sides = (node.lexpr, node.rexpr)
    if any(_is_interval(inner) for side in sides for inner, _ in walk(side)):
        return True
    instants = [_is_now(side) or bool(INSTANT.fullmatch(_column(side, scope) or "")) for side in sides]
    return any(instants) and not all(instants)  # the difference of two instants is immutable


def _is_interval(node: object) -> bool:
    if isinstance(node, ast.TypeCast):
        return node.typeName.names[-1].sval == "interval"
    return _function(node) == "make_interval"


def _is_stable_cast(node: object, scope: Scope) -> bool:
    if not isinstance(node, ast.TypeCast):
        return False
    column, to = _column(node.arg, scope), node.typeName.names[-1].sval
    if column is None:
        return False
    return (to in INSTANT_CASTS and bool(INSTANT.fullmatch(column))) or (
        to in ("text", "varchar") and bool(ENUM_LIKE.fullmatch(column))
    )


# --- Q3 and the ladders -----------------------------------------------------------------------------------------------


def _claim(node: ast.SubLink) -> Iterator[Fault]:
    inner = node.subselect
    if node.subLinkType == enums.SubLinkType.ANY_SUBLINK and inner.limitCount is not None and inner.lockingClause:
        yield "Q3", "IN (SELECT .. LIMIT .. FOR UPDATE) claims too many; write = ANY (ARRAY(SELECT ..))"


def _ladder(node: ast.BoolExpr, scope: Scope) -> Iterator[Fault]:
    if node.boolop != enums.BoolExprType.OR_EXPR:
        return
    for argument in node.args:
        if not isinstance(argument, ast.NullTest):
            continue
        tested = argument.arg
        while isinstance(tested, ast.TypeCast):
            tested = tested.arg
        given = isinstance(tested, ast.ColumnRef) and getattr(tested.fields[0], "sval", "") in scope.arguments
        if isinstance(tested, ast.ParamRef) or given:
            yield "ladder", "`:x IS NULL OR`: one plan for two questions; mark the line with `-- if x`"
