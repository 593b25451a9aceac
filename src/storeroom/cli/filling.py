"""Commands that fill a shop: seeds of ours, and what another system has exported."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storeroom.cli import connect
from storeroom.cli.options import DEFAULT_TENANT, Json, OfTenant
from storeroom.cli.terminal import say, show_json, show_table, warn
from storeroom.settings import Mode, Settings

if TYPE_CHECKING:
    from storeroom.catalog import ImportProgress, ImportReport

imports = typer.Typer(help="Bring in what another system has exported.", no_args_is_help=True)


def seed(
    environment: Annotated[
        str | None, typer.Argument(help="base, development, staging or production.", metavar="ENVIRONMENT")
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="Plant one file instead.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Other seeds than those of storeroom.")
    ] = None,
    tenant: OfTenant = DEFAULT_TENANT,
    currency: Annotated[str, typer.Option(help="Of a shop that has to be made.")] = "USD",
    again: Annotated[bool, typer.Option("--again", help="Plant files too that did not change since.")] = False,
    as_json: Json = False,
) -> None:
    """Plant the seeds of an environment. Or one file; doing it again doubles nothing."""
    if (environment is None) == (file is None):
        raise typer.BadParameter("name an environment or a --file, one of the two", param_hint="ENVIRONMENT")
    from storeroom.seeding import Planted, environment_of, plant, plant_file  # noqa: PLC0415

    settings = Settings.from_environment()
    wanted = environment_of(environment) if environment is not None else None
    if wanted is not None:
        refuse_made_up(settings, wanted)

    async def work() -> list[Planted]:
        async with connect.opened(settings, make=True) as room:
            if wanted is None:
                return await plant_file(room, file or Path(), tenant_id=tenant, variables=os.environ, again=again)
            return await plant(
                room,
                wanted,
                tenant_id=tenant,
                variables=os.environ,
                folder=folder,
                currency=currency,
                again=again,
            )

    planted = connect.run(work)
    if as_json:
        show_json(planted)
        return
    rows = [(p.sequence, p.file, p.table, p.rows, "unchanged" if p.unchanged else "planted") for p in planted]
    show_table(("", "file", "table", "rows", ""), rows, empty="nothing to plant")


def refuse_made_up(settings: Settings, environment: str) -> None:
    """Test data never go into a production database, also not into one that was seeded by hand."""
    if settings.mode is Mode.PRODUCTION and environment == "development":
        from storeroom.seeding import EnvironmentRefused  # noqa: PLC0415

        raise EnvironmentRefused(environment=environment, reason="STOREROOM_MODE is production")


@imports.command("shopify")
def import_shopify(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A product export, CSV in UTF-8.")
    ],
    tenant: OfTenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Import a product CSV of Shopify. Again updates; bad rows are told by line, and then it leaves with 1."""
    from storeroom.catalog import import_products  # noqa: PLC0415
    from storeroom.cli.progress import progress_bar  # noqa: PLC0415

    async def work() -> "ImportReport":
        async with connect.opened(Settings.from_environment()) as room:
            with progress_bar(f"importing {file.name}", hidden=as_json) as step:

                def on_progress(progress: "ImportProgress") -> None:
                    step(progress.bytes_read, progress.bytes_total, f"{progress.rows:,} rows")

                return await import_products(room.tenant(tenant).products, file, on_progress=on_progress)

    report = connect.run(work)
    if as_json:
        show_json(report)
    else:
        for error in report.errors:
            warn(f"{file.name}:{error.line}: {error.handle or '(no handle)'}: {error.column}: {error.reason}")
        if report.errors_count > len(report.errors):
            warn(f"… and {report.errors_count - len(report.errors)} more")
        say(
            f"{report.rows:,} rows: {report.products_created:,} products made, {report.products_updated:,} updated, "
            f"{report.variants_created:,} variants made, {report.variants_updated:,} updated, "
            f"{report.images:,} images, {report.errors_count:,} errors"
        )
    if not report.ok:
        raise typer.Exit(1)
