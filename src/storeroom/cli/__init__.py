"""The command line: `storeroom --help`."""

import os
import sys


def main() -> None:
    """Run one command and leave with its status: 0 done, 1 refused or found wrong, 2 not understood."""
    from storeroom.cli.app import app  # noqa: PLC0415  # nothing is loaded before it is known to be needed
    from storeroom.cli.terminal import complain  # noqa: PLC0415
    from storeroom.core.errors import StoreroomError  # noqa: PLC0415

    try:
        app(prog_name="storeroom")
    except StoreroomError as error:
        complain(error)
        sys.exit(1)
    except BrokenPipeError:  # whoever read us, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
        sys.exit(1)
