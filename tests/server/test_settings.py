"""What the environment says, and what it may not say."""

from pathlib import Path

import pytest

from storeroom.database.names import InvalidTableName
from storeroom.settings import Mode, SecretMissing, SettingInvalid, Settings

SECRET = "s" * 32


def test_nothing_set_is_a_server_for_trying_out() -> None:
    settings = Settings.from_environment({})
    assert (settings.mode, settings.host, settings.port) == (Mode.DEVELOPMENT, "127.0.0.1", 8000)
    assert settings.data_dir == Path("data")
    assert settings.database_url is None
    assert settings.trusted_proxies == 0


def test_everything_is_read() -> None:
    settings = Settings.from_environment(
        {
            "STOREROOM_MODE": "Production",
            "STOREROOM_HOST": "0.0.0.0",
            "STOREROOM_PORT": " 80 ",
            "STOREROOM_DATA_DIR": "/srv/shop",
            "STOREROOM_DATABASE_URL": "postgresql://pooler/shop",
            "STOREROOM_DIRECT_DATABASE_URL": "postgres://db/shop",
            "STOREROOM_STATEMENT_CACHE": "off",
            "STOREROOM_TABLE_PREFIX": "shop_",
            "STOREROOM_POOL_SIZE": "20",
            "STOREROOM_MIGRATE": "no",
            "STOREROOM_WORKER": "0",
            "STOREROOM_SECRET": SECRET,
            "STOREROOM_FILES_URL": "s3://proofs",
            "STOREROOM_TRUSTED_PROXIES": "2",
            "STOREROOM_FLOOD_REQUESTS": "0",
            "PATH": "/bin",
        }
    )
    assert settings.mode is Mode.PRODUCTION
    assert (settings.port, settings.pool_size, settings.trusted_proxies, settings.flood_requests) == (80, 20, 2, 0)
    assert (settings.statement_cache, settings.migrate, settings.worker) == (False, False, False)
    assert settings.names.resolve("orders") == "shop_orders"
    assert settings.signing_secret().reveal() == SECRET
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("STOREROOM_PORT", "65536"),
        ("STOREROOM_PORT", "-1"),
        ("STOREROOM_PORT", "http"),
        ("STOREROOM_POOL_SIZE", "0"),
        ("STOREROOM_TRUSTED_PROXIES", "10.0.0.1"),
        ("STOREROOM_MODE", "staging"),
        ("STOREROOM_WORKER", "perhaps"),
        ("STOREROOM_DATABASE_URL", "mysql://user:hunter2@db/shop"),
        ("STOREROOM_SECRET", "hunter2"),
    ],
)
def test_what_cannot_be_read_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        Settings.from_environment({variable: text})
    assert refused.value.variable == variable
    assert variable in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_table_name_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(InvalidTableName):
        Settings.from_environment({"STOREROOM_TABLE_PREFIX": "shop;"})


def test_a_secret_is_made_once_for_development_and_never_for_production(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    made = settings.signing_secret().reveal()
    assert len(made) >= 32
    assert settings.signing_secret().reveal() == made
    assert (tmp_path / "data/secret").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["secret"]
    with pytest.raises(SecretMissing):
        Settings(mode=Mode.PRODUCTION, data_dir=tmp_path / "data").signing_secret()
    (tmp_path / "data/secret").write_text("short")
    with pytest.raises(SettingInvalid):
        settings.signing_secret()
