"""What several commands take, said once."""

from typing import Annotated, Final

import typer

DEFAULT_TENANT: Final = "default"

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
OfTenant = Annotated[str, typer.Option("--tenant", envvar="STOREROOM_TENANT", help="Which shop.")]
TenantArgument = Annotated[str, typer.Argument(help="The id of the shop.", metavar="ID")]
