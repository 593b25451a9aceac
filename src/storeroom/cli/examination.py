"""What `storeroom doctor` asks: whether the schema is ours, then everything that must hold of the rows."""

from storeroom.cli import connect
from storeroom.database.migrations import status
from storeroom.database.pool import Database
from storeroom.doctor import Finding, Gravity, Result, examine, seals_open
from storeroom.identity import TokenKeys
from storeroom.settings import Settings


async def examination(settings: Settings) -> list[Result]:
    """Every check. Where the schema is not that of this release, only that is told: the others could not be asked."""
    async with connect.database(settings) as dsn:
        schema = await _schema(settings, connect.direct(settings, dsn))
        if schema.broken:
            return [schema]
        names, cache = settings.names, settings.statement_cache
        async with await Database.open(dsn, names=names, max_size=1, statement_cache=cache) as db:
            secrets = settings.known_secrets()
            keys = TokenKeys.of(secrets[0] if secrets else None, secrets[1:])
            return [schema, *await examine(db), await seals_open(db, keys)]


async def _schema(settings: Settings, dsn: str) -> Result:
    found = await status(dsn, names=settings.names)
    findings = [Finding(tenant_id="", subject=name, detail="has not run here") for name in found.pending]
    findings += [Finding(tenant_id="", subject=name, detail="ran here with another text") for name in found.edited]
    if found.database > found.newest:
        detail = f"the database is at {found.database}, this release at {found.newest}"
        findings.append(Finding(tenant_id="", subject="release", detail=detail))
    return Result(
        name="schema_is_current",
        says="Every migration and function of this release has run, as it is.",
        gravity=Gravity.BROKEN,
        count=len(findings),
        findings=findings,
    )
