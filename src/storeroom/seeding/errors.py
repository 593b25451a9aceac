"""Why nothing was planted. In every case nothing was written, except perhaps a new, empty shop."""

from storeroom.core.errors import Conflict, Invalid, Misconfigured


class UnknownEnvironment(Invalid):
    """There is no folder of seeds by this name."""

    code = "seeding.unknown_environment"

    def __init__(self, *, environment: str, known: list[str]) -> None:
        super().__init__(f"{environment!r} is no environment; there are {', '.join(known)}", field="environment")
        self.environment, self.known = environment, known


class EnvironmentRefused(Conflict):
    """Made-up people and orders do not go where real ones are, nor real ones among made-up ones."""

    code = "seeding.environment_refused"

    def __init__(self, *, environment: str, reason: str) -> None:
        super().__init__(f"{environment} is not planted here: {reason}")
        self.environment, self.reason = environment, reason


class SeedFilesMissing(Misconfigured):
    """The folder of the seeds, or one of its files, is not where it should be."""

    code = "seeding.files_missing"

    def __init__(self, *, path: str) -> None:
        super().__init__(f"no seeds at {path}")
        self.path = path


class SeedFileInvalid(Invalid):
    """A seed file cannot be read, or names what is nowhere planted."""

    code = "seeding.file_invalid"

    def __init__(self, *, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}", field=file)
        self.file, self.reason = file, reason


class SeedClash(Conflict):
    """The shop has a row of its own that a seed would double, such as a product with the same slug."""

    code = "seeding.clash"

    def __init__(self, *, table: str, reason: str) -> None:
        super().__init__(f"{table}: {reason}")
        self.table, self.reason = table, reason


class SeedSecretMissing(Misconfigured):
    """A seed takes a value from the configuration, and it is not there."""

    code = "seeding.secret_missing"

    def __init__(self, *, variable: str, file: str) -> None:
        super().__init__(f"{file} needs {variable}, which is not set")
        self.variable, self.file = variable, file
