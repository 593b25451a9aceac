"""What each command does and says, on a database of its own."""

import asyncio
import os
import pty
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pyotp
import pytest
import typer.main
from terminal import PROGRAM, Terminal

from storeroom import __version__
from storeroom.access import ApiKeyRefused
from storeroom.cli.app import app
from storeroom.doctor.service import CHECKS
from storeroom.identity import Permission
from storeroom.room import Storeroom
from storeroom.seeding import seeds_folder
from storeroom.verification import SecondFactorRequired

SECRET = "a secret of the tests, long enough for signing"
CSV = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Price,Status\n"
GOOD = "cap,Cap,Color,Red,CAP-RED,shopify,5,19.50,active\ncap,,,Blue,CAP-BLUE,shopify,7,19.50,\n"
BAD = "hat,Hat,,,HAT,shopify,many,25.00,active\nscarf,Scarf,,,SCARF,shopify,1,cheap,active\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command, with the words that lead to it."""
    groups: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while groups:
        words, group = groups.pop()
        for name, command in group.commands.items():
            path = f"{words} {name}".strip()
            yield path, command
            if hasattr(command, "commands"):
                groups.append((path, command))


def test_every_command_and_option_explains_itself() -> None:
    found = dict(commands())
    assert {
        "serve",
        "worker",
        "migrate",
        "status",
        "seed",
        "doctor",
        "permissions",
        "import shopify",
        "user add",
    } <= set(found)
    assert {f"tenant {verb}" for verb in ("create", "list", "show", "suspend", "resume", "add-host")} <= set(found)
    assert "db distribute" in found
    silent = [path for path, command in found.items() if not command.help]
    silent += [
        f"{path} {p.name}" for path, command in found.items() for p in command.params if not getattr(p, "help", "x")
    ]
    assert silent == []
    printing = set(found) - {"serve", "tenant", "user", "import", "db", "secrets", "config", "keys"}
    assert [path for path in printing if "--json" not in [o for p in found[path].params for o in p.opts]] == []


def test_help_and_version_need_no_database() -> None:
    nowhere = Terminal({"STOREROOM_DATABASE_URL": "postgresql://127.0.0.1:1/none"})
    text = nowhere.text("--help")
    assert all(command in text for command in ("serve", "worker", "migrate", "doctor", "tenant", "secrets", "config"))
    assert "--tenant" in nowhere.text("import", "shopify", "--help")
    assert nowhere.text("--version").strip() == __version__


MISUNDERSTOOD = [
    ("sell",),
    ("serve", "--port", "70000"),
    ("seed",),
    ("seed", "base", "--file", str(seeds_folder() / "example" / "data.toml")),
    ("seed", "--file", "/no/such/file.toml"),
    ("import", "shopify", "/no/such/file.csv"),
    ("user", "add"),
    ("user", "add", "a@example.com", "--role", "king"),
    ("user", "add", "a@example.com", "--role", "staff", "--permission", "everything"),
    ("tenant", "create", "a"),
    ("tenant", "list", "--limit", "0"),
]


@pytest.mark.parametrize("arguments", MISUNDERSTOOD, ids=" ".join)
def test_what_is_not_understood_is_status_2(arguments: tuple[str, ...]) -> None:
    nowhere = Terminal({"STOREROOM_DATABASE_URL": "postgresql://127.0.0.1:1/none"})
    done = nowhere.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr


@pytest.mark.parametrize("command", ["status", "doctor", "migrate", "tenant list", "db distribute", "worker --once"])
def test_a_database_that_does_not_answer_is_one_line(command: str) -> None:
    nowhere = Terminal({"STOREROOM_DATABASE_URL": "postgresql://127.0.0.1:1/none"})
    nowhere.refused(*command.split(), code="database.unavailable")


def test_a_setting_that_cannot_be_is_one_line(data_folder: Path) -> None:
    Terminal({"STOREROOM_PORT": "eighty"}).refused("serve", code="settings.invalid")
    line = Terminal({"STOREROOM_DATA_DIR": str(data_folder)}).refused("status", code="cli.no_database")
    assert str(data_folder) in line
    assert list(data_folder.iterdir()) == []  # asking makes nothing


async def test_migrate_and_status(fresh_database: Callable[..., Awaitable[str]]) -> None:
    terminal = Terminal({"STOREROOM_DATABASE_URL": await fresh_database(empty=True)})
    before = terminal.json("status", status=1)
    assert (before["up_to_date"], before["database"]) == (False, 0)
    assert "pending   0001 tenants" in terminal.run("status").stdout
    terminal.refused("tenant", "list", code="database.not_migrated")
    (schema,) = terminal.json("doctor", status=1)
    assert (schema["name"], schema["broken"]) == ("schema_is_current", True)

    first = terminal.json("migrate", "--target", "2")
    assert [step["version"] for step in first] == [1, 2]
    rest = terminal.json("migrate")
    assert rest[0]["version"] == 3
    assert terminal.json("migrate") == []
    assert "nothing to do" in terminal.text("migrate")
    assert terminal.json("status")["up_to_date"] is True
    assert "up to date" in terminal.text("status")


async def test_tenants(terminal: Terminal) -> None:
    made = terminal.json(
        "tenant",
        "create",
        "acme",
        "--name",
        "Acme",
        "--currency",
        "EUR",
        "--time-zone",
        "Europe/Berlin",
        "--country",
        "DE",
        "--host",
        "Acme.example",
        "--host",
        "shop.acme.example",
    )
    assert (made["currency"], made["country_code"], made["hosts"]) == (
        "EUR",
        "DE",
        ["acme.example", "shop.acme.example"],
    )
    terminal.refused("tenant", "create", "acme", "--name", "Acme", "--currency", "EUR", code="tenants.exists")
    terminal.refused("tenant", "create", "b", "--name", "B", "--currency", "XXQ", code="core.unknown_currency")
    terminal.refused("tenant", "create", "b/c", "--name", "B", "--currency", "EUR", code="tenants.invalid")
    terminal.refused("tenant", "show", "nobody", code="tenants.unknown")
    terminal.text("tenant", "create", "beta", "--name", "Beta [bold]", "--currency", "JPY")
    terminal.refused("tenant", "add-host", "beta", "acme.example", code="tenants.host_taken")
    assert terminal.json("tenant", "add-host", "beta", "beta.example")["hosts"] == ["beta.example"]

    assert terminal.json("tenant", "suspend", "beta")["status"] == "suspended"
    terminal.refused("user", "add", "a@example.com", "--tenant", "beta", code="tenants.suspended")
    assert terminal.json("tenant", "resume", "beta")["status"] == "active"
    page = terminal.json("tenant", "list", "--limit", "1")
    assert [t["tenant_id"] for t in page["items"]] == ["acme"]
    rest = terminal.json("tenant", "list", "--cursor", page["next_cursor"])
    assert ([t["tenant_id"] for t in rest["items"]], rest["next_cursor"]) == (["beta"], None)
    table = terminal.text("tenant", "list")
    assert "Acme" in table
    assert "Beta [bold]" in table  # a name is no markup
    assert "Europe/Berlin" in terminal.text("tenant", "show", "acme")


async def test_user_add(terminal: Terminal) -> None:
    """A password comes from where it is not seen, or is made and shown once; each of them opens the account."""
    terminal.text("tenant", "create", "default", "--name", "Shop", "--currency", "USD")
    made = terminal.json("user", "add", "Boss@Example.com", "--role", "admin", "--name", "The Boss")
    assert (made["email"], made["role"]) == ("boss@example.com", "admin")
    assert len(made["password"]) >= 20
    terminal.refused("user", "add", "boss@example.com", code="identity.email_taken")

    piped = terminal.json("user", "add", "piped@example.com", "--password-stdin", stdin="from a pipe\n")
    from_env = terminal.json("user", "add", "env@example.com", STOREROOM_PASSWORD="from the environment")
    assert (piped["password"], from_env["password"]) == (None, None)
    shown = terminal.text("user", "add", "shown@example.com")
    assert "shown this once" in shown
    terminal.refused(
        "user", "add", "short@example.com", "--password-stdin", stdin="short\n", code="identity.invalid_password"
    )
    terminal.refused("user", "add", "none@example.com", "--password-stdin", code="identity.invalid_password")
    terminal.refused("user", "add", "no address", code="core.invalid_email")

    desk = terminal.json(
        "user",
        "add",
        "desk@example.com",
        "--role",
        "staff",
        "--permission",
        "orders.read",
        "--permission",
        "payments.verify",
    )
    terminal.refused("user", "add", "x@example.com", "--permission", "orders.read", code="identity.not_staff")

    async with Storeroom.open(terminal.environment["STOREROOM_DATABASE_URL"], secret=SECRET) as room:
        shop = room.tenant()
        for email, password in (
            ("boss@example.com", made["password"]),
            ("piped@example.com", "from a pipe"),
            ("env@example.com", "from the environment"),
            ("shown@example.com", shown.strip().rsplit(" ", 1)[1]),
            ("desk@example.com", desk["password"]),
        ):
            signed_in = await shop.sessions.sign_in(email=email, password=password)
            assert signed_in.user.email == email
        assert set((await shop.users.by_email(email="desk@example.com")).permissions) == {
            "orders.read",
            "payments.verify",
        }


async def test_a_second_factor_is_required_and_reset(terminal: Terminal) -> None:
    terminal.text("tenant", "create", "default", "--name", "Shop", "--currency", "USD")
    made = terminal.json("tenant", "require", "default", "--staff-second-factor")
    assert (made["staff_second_factor_required"], made["lookup_code_required"]) == (True, False)
    made = terminal.json("tenant", "require", "default", "--lookup-code", "--no-staff-second-factor")
    assert (made["staff_second_factor_required"], made["lookup_code_required"]) == (False, True)
    terminal.refused("tenant", "require", "nobody", "--lookup-code", code="tenants.unknown")

    password = terminal.json("user", "add", "boss@example.com", "--role", "super_admin")["password"]
    terminal.refused("user", "reset-second-factor", "boss@example.com", code="verification.second_factor_missing")
    async with Storeroom.open(terminal.environment["STOREROOM_DATABASE_URL"], secret=SECRET) as room:
        shop = room.tenant()
        boss = await shop.users.by_email(email="boss@example.com")
        app_of_boss = pyotp.TOTP((await shop.second_factors.enrol(user_id=boss.id)).secret)
        await shop.second_factors.confirm(user_id=boss.id, code=app_of_boss.now())
        with pytest.raises(SecondFactorRequired):
            await shop.sign_in.with_password(email=boss.email, password=password)
        assert "boss@example.com" in terminal.text("user", "reset-second-factor", "Boss@example.com")
        assert (await shop.sign_in.with_password(email=boss.email, password=password)).access_token
    terminal.refused("user", "reset-second-factor", "nobody@example.com", code="identity.user_not_found")


async def test_a_person_is_erased_by_address_or_id(terminal: Terminal) -> None:
    terminal.text("tenant", "create", "default", "--name", "Shop", "--currency", "USD")
    ids = [terminal.json("user", "add", f"{name}@example.com")["id"] for name in ("ann", "bo")]
    erased = terminal.json("user", "erase", "Ann@example.com", "--reason", "asked by letter")
    assert erased == {"user_id": ids[0], "orders": 0}
    terminal.refused("user", "erase", "ann@example.com", "--reason", "again", code="identity.user_not_found")
    terminal.refused("user", "erase", ids[0], "--reason", "again", code="identity.user_not_found")
    assert "0 orders stay" in terminal.text("user", "erase", ids[1], "--reason", "asked by letter")
    terminal.refused("user", "add", "bo@example.com", code="identity.email_taken")


async def test_keys_of_programs(terminal: Terminal) -> None:
    terminal.text("tenant", "create", "default", "--name", "Shop", "--currency", "USD")
    assert "no keys" in terminal.text("keys", "list")
    given = ("--permission", "orders.read", "--permission", "catalog.write", "--days", "30")
    made = terminal.json("keys", "create", "warehouse", *given, "--calls-per-minute", "60")
    assert (made["name"], made["permissions"], made["calls_per_minute"]) == (
        "warehouse",
        ["catalog.write", "orders.read"],
        60,
    )
    secret = made["key"].partition(".")[2]
    async with Storeroom.open(terminal.environment["STOREROOM_DATABASE_URL"]) as room:
        keys = room.tenant().api_keys
        assert str((await keys.authenticate(made["key"])).id) == made["id"]
        listed = terminal.text("keys", "list")
        assert "warehouse" in listed and "orders.read" in listed and secret not in listed
        assert "is revoked" in terminal.text("keys", "revoke", made["id"])
        terminal.text("keys", "revoke", made["id"])
        with pytest.raises(ApiKeyRefused):
            await keys.authenticate(made["key"])
        assert "revoked" in terminal.text("keys", "list")
        trail = {entry.action for entry in (await room.tenant().audit.list()).items}
        assert {"tenants.create", "access.create_key", "access.revoke_key"} <= trail
    assert secret[-4:] in terminal.text("keys", "list")
    terminal.refused("keys", "create", "x", "--permission", "keys.write", code="access.permission_not_yours")
    assert terminal.run("keys", "create", "x", "--permission", "everything").returncode == 2
    assert terminal.run("keys", "revoke", "warehouse").returncode == 2


def test_permissions_need_no_database() -> None:
    nowhere = Terminal({"STOREROOM_DATABASE_URL": "postgresql://127.0.0.1:1/none"})
    assert nowhere.json("permissions") == [permission.value for permission in Permission]
    assert nowhere.text("permissions").split() == [permission.value for permission in Permission]


@pytest.mark.requirement("SBB-SEED-04", "SBB-SEED-06", "SBB-SEED-09")
async def test_seed(terminal: Terminal) -> None:
    planted = terminal.json("seed", "development")
    assert [section["sequence"] for section in planted] == list(range(1, len(planted) + 1))
    assert not any(section["unchanged"] for section in planted)
    assert all(section["unchanged"] for section in terminal.json("seed", "development"))
    assert not any(section["unchanged"] for section in terminal.json("seed", "development", "--again"))
    assert "unchanged" in terminal.text("seed", "staging")
    example = seeds_folder() / "example" / "data.toml"
    terminal.text("seed", "--file", example)
    terminal.text("seed", "--file", example, "--again")
    assert all(not result["broken"] for result in terminal.json("doctor"))

    terminal.refused("seed", "prod", code="seeding.unknown_environment")
    terminal.refused("seed", "production", code="seeding.environment_refused")
    terminal.refused("seed", "production", "--tenant", "real", code="seeding.secret_missing")
    terminal.refused(
        "seed", "development", "--tenant", "real", STOREROOM_MODE="production", code="seeding.environment_refused"
    )
    admin = {"STOREROOM_ADMIN_EMAIL": "boss@example.com", "STOREROOM_ADMIN_PASSWORD": "a long password"}
    terminal.text("seed", "production", "--tenant", "real", STOREROOM_MODE="production", **admin)
    assert terminal.json("seed", "base", "--tenant", "mine", "--currency", "EUR")
    assert terminal.json("tenant", "show", "mine")["currency"] == "EUR"


async def test_seeds_of_ones_own(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "001_shelves.toml").write_text(
        '[[product_categories]]\nkey = "c"\nname = "C"\nslug = "c"\n', "utf-8"
    )
    planted = terminal.json("seed", "base", "--folder", tmp_path)
    assert [(p["file"], p["table"], p["rows"]) for p in planted] == [("base/001_shelves.toml", "product_categories", 1)]


async def test_import_shopify(terminal: Terminal, tmp_path: Path) -> None:
    terminal.text("tenant", "create", "default", "--name", "Shop", "--currency", "USD")
    file = tmp_path / "products.csv"
    file.write_text(CSV + GOOD, "utf-8")
    first = terminal.json("import", "shopify", file)
    assert (first["rows"], first["products_created"], first["variants_created"], first["errors"]) == (2, 1, 2, [])
    again = terminal.json("import", "shopify", file)
    assert (again["products_created"], again["variants_created"]) == (0, 0)

    file.write_text(CSV + GOOD + BAD, "utf-8")
    done = terminal.run("import", "shopify", file)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("products.csv:4: hat: Variant Inventory Qty: ")
    assert done.stderr.splitlines()[1].startswith("products.csv:5: scarf: Variant Price: ")
    assert "2 errors" in done.stdout
    assert [error["line"] for error in terminal.json("import", "shopify", file, status=1)["errors"]] == [4, 5]

    terminal.refused("import", "shopify", file, "--tenant", "nobody", code="tenants.unknown")
    file.write_bytes(b"\xff\xfe no csv")
    terminal.refused("import", "shopify", file, code="catalog.unreadable_file")


async def test_an_import_shows_how_far_it_is(terminal: Terminal, tmp_path: Path) -> None:
    """On a terminal: the bar is drawn on standard error, with the rows so far."""
    terminal.text("tenant", "create", "default", "--name", "Shop", "--currency", "USD")
    file = tmp_path / "products.csv"
    file.write_text(CSV + "".join(f"p{n},P {n},,,SKU-{n},shopify,5,19.50,active\n" for n in range(500)), "utf-8")
    pid, master = pty.fork()
    if pid == 0:
        os.execve(PROGRAM[0], [*PROGRAM, "import", "shopify", str(file)], terminal.variables | {"TERM": "xterm"})
    drawn = b""
    while chunk := _read(master):
        drawn += chunk
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"importing products.csv" in drawn
    assert b"500 rows" in drawn
    assert b"500 products made" in drawn


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # the other end is closed
        return b""


async def test_doctor_finds_what_is_broken(terminal: Terminal) -> None:
    """Each check with its count, what it found, and status 1."""
    terminal.text("seed", "development")
    healthy = terminal.json("doctor")
    assert [result["name"] for result in healthy] == [
        "schema_is_current",
        *(check.__name__ for check, _ in CHECKS),
        "seals_open",
    ]
    assert "0 broken" in terminal.text("doctor")

    connection = await asyncpg.connect(terminal.environment["STOREROOM_DATABASE_URL"])
    try:
        await connection.execute(
            "UPDATE stock_levels SET reserved = reserved + 1 WHERE variant_id = (SELECT id FROM product_variants WHERE sku = 'MUG-OAT')"
        )
    finally:
        await connection.close()

    (broken,) = [result for result in terminal.json("doctor", status=1) if result["broken"]]
    assert (broken["name"], broken["count"]) == ("reserved_is_explained", 1)
    done = terminal.run("doctor")
    assert done.returncode == 1
    assert "BROKEN" in done.stdout
    assert "reserved_is_explained: default: " in done.stdout
    assert "1 broken" in done.stdout


async def test_worker_once(terminal: Terminal) -> None:
    terminal.text("seed", "development")
    done = {outcome["job"]: outcome for outcome in terminal.json("worker", "--once")}
    assert done["orders.fill_search"] == {
        "job": "orders.fill_search",
        "rows": 7,
        "error": None,
        "elsewhere": False,
    }
    assert "orders.fill_search" in terminal.text("worker", "--once")
    (filled,) = [job for job in terminal.json("schedule") if job["name"] == "orders.fill_search"]
    assert (filled["every_s"], filled["runs"], filled["last_error"], filled["running"]) == (1, 2, None, False)
    assert "flows.poll_hosted" in terminal.text("schedule")


@pytest.mark.requirement("STO-CFG-06")
async def test_a_running_process_reads_what_a_command_sets(terminal: Terminal) -> None:
    """Two processes: this one has read the key and keeps it, the command sets it, and this one reads the new value."""
    terminal.text("tenant", "create", "default", "--name", "Shop", "--currency", "USD")
    async with Storeroom.open(terminal.environment["STOREROOM_DATABASE_URL"]) as room:
        configuration = room.tenant().configuration
        assert await configuration.get(key="marketing.pixel") is None
        assert "G-1" in await asyncio.to_thread(terminal.text, "config", "set", "marketing.pixel", "G-1")
        async with asyncio.timeout(20):  # NOTIFY is there within milliseconds; without it, it takes 30 s
            while await configuration.get(key="marketing.pixel") != "G-1":
                await asyncio.sleep(0.01)
    assert terminal.text("config", "get", "marketing.pixel") == "G-1\n"


async def test_secrets_of_the_configuration_at_a_terminal(terminal: Terminal) -> None:
    terminal.text("tenant", "create", "default", "--name", "Shop", "--currency", "USD")
    terminal.refused("config", "set", "mail.password", "zebra", code="identity.no_signing_secret")
    keys = {"APP_SECRET": SECRET}
    assert "zebra" not in terminal.text("config", "set", "mail.password", "-", stdin="zebra\n", **keys)
    terminal.text("config", "set", "store.name", "Mine", "--group", "general", **keys)
    listed = terminal.json("config", "list", **keys)["items"]
    assert [(each["key"], each["value"], each["group_name"]) for each in listed] == [
        ("mail.password", None, "mail"),
        ("store.name", "Mine", "general"),
    ]
    assert "zebra" not in terminal.text("config", "list", "--group", "mail", **keys)
    assert "--reveal" in terminal.run("config", "get", "mail.password", **keys).stderr
    assert terminal.text("config", "get", "mail.password", "--reveal", **keys) == "zebra\n"
    terminal.refused("config", "get", "mail.password", "--reveal", code="identity.no_signing_secret")
    assert "STOREROOM_SECRET" in terminal.refused("worker", "--once", code="secrets.needed")
    terminal.text("worker", "--once", **keys)
    (broken,) = [result for result in terminal.json("doctor", status=1) if result["broken"]]
    assert broken["name"] == "seals_open"
    assert all(not result["broken"] for result in terminal.json("doctor", **keys))


async def test_distribute_says_that_citus_is_absent(terminal: Terminal) -> None:
    assert "Citus is not installed" in terminal.refused("db", "distribute", code="database.citus_missing")
    statements = terminal.json("db", "distribute", "--dry-run")
    assert statements[-1].startswith("SELECT create_distributed_function(")
    assert any("create_distributed_table('orders', 'tenant_id'" in statement for statement in statements)


async def test_tables_may_have_other_names(fresh_database: Callable[..., Awaitable[str]]) -> None:
    """The configuration that names tables holds for every command."""
    terminal = Terminal({"STOREROOM_DATABASE_URL": await fresh_database(empty=True), "STOREROOM_TABLE_PREFIX": "shop_"})
    terminal.text("migrate")
    terminal.text("seed", "development")
    assert all(not result["broken"] for result in terminal.json("doctor"))
    connection = await asyncpg.connect(terminal.environment["STOREROOM_DATABASE_URL"])
    try:
        assert await connection.fetchval("SELECT count(*) FROM shop_orders") == 7
    finally:
        await connection.close()
