"""Why a database cannot be brought to the schema of this release, or is not there."""

from storeroom.core.errors import Misconfigured, Unavailable


class MigrationEdited(Misconfigured):
    """A migration that this database has already run reads differently now."""

    code = "database.migration_edited"

    def __init__(self, *, version: int, name: str) -> None:
        super().__init__(
            f"migration {version:04} ({name}) was edited after it ran here; restore its text and write the change as a "
            "migration of its own"
        )
        self.version, self.name = version, name


class MigrationMissing(Misconfigured):
    """A number is missing between the migrations, or a file is no migration at all."""

    code = "database.migration_missing"

    def __init__(self, *, version: int, reason: str) -> None:
        super().__init__(f"migration {version:04}: {reason}")
        self.version, self.reason = version, reason


class MigrationFailed(Misconfigured):
    """PostgreSQL refused a migration or a function; the ones before it are applied, this one is not."""

    code = "database.migration_failed"

    def __init__(self, *, name: str, reason: str, line: int | None) -> None:
        super().__init__(f"{name}{f', line {line}' if line else ''}: {reason}")
        self.name, self.reason, self.line = name, reason, line


class MigrationBlocked(Unavailable):
    """Another migration, or a long transaction on a table, did not make way in time. Nothing was changed."""

    code, transient = "database.migration_blocked", True

    def __init__(self, *, name: str, waited_s: float) -> None:
        super().__init__(f"{name}: waited {waited_s:g} s for its lock; try again when the database is quieter")
        self.name, self.waited_s = name, waited_s


class DatabaseNewer(Misconfigured):
    """The database was migrated by a later release than this one."""

    code = "database.newer"

    def __init__(self, *, database: int, newest: int) -> None:
        super().__init__(f"the database is at migration {database:04}, this release knows {newest:04}; run a later one")
        self.database, self.newest = database, newest


class NotMigrated(Misconfigured):
    """The database lacks migrations or functions of this release."""

    code = "database.not_migrated"

    def __init__(self, *, missing: list[str]) -> None:
        super().__init__(f"the database lacks {', '.join(missing)}; run: storeroom db migrate")
        self.missing = missing


class FunctionEdited(Misconfigured):
    """A released function reads differently from what this database runs."""

    code = "database.function_edited"

    def __init__(self, *, name: str) -> None:
        stem, _, number = name.rpartition("_v")
        successor = f"{stem}_v{int(number) + 1}" if number.isdigit() else f"{name}_v2"
        super().__init__(f"{name} is released and frozen, yet its text was edited; restore it and make it {successor}")
        self.name, self.successor = name, successor


class FunctionFileInvalid(Misconfigured):
    """A functions.sql cannot be taken apart."""

    code = "database.function_file_invalid"

    def __init__(self, *, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file, self.reason = file, reason


class RolesMissing(Misconfigured):
    """The login may not make the roles, or use them; `statements` are what a superuser has to run once."""

    code = "database.roles_missing"

    def __init__(self, *, login: str, statements: list[str], reason: str) -> None:
        script = "\n".join(f"    {statement};" for statement in statements)
        super().__init__(
            f"{login} cannot set up the roles ({reason}). Let a superuser run, in this database:\n{script}"
        )
        self.login, self.statements, self.reason = login, statements, reason


class ExtensionMissing(Misconfigured):
    """pg_trgm is not there and cannot be made; search needs it."""

    code = "database.extension_missing"

    def __init__(self, *, reason: str) -> None:
        super().__init__(
            f"the extension pg_trgm is missing ({reason}). Install PostgreSQL's contrib package if need be, and let a "
            "superuser run, in this database: CREATE EXTENSION pg_trgm"
        )
        self.reason = reason
