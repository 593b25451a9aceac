"""What the environment says, and what it may not say."""

import base64
import random
from datetime import timedelta
from pathlib import Path

import pytest

from storeroom.core.secrets import Secret
from storeroom.database.names import InvalidTableName
from storeroom.settings import Mode, SecretMissing, SettingInvalid, Settings

SECRET = "XHq2v8tR5mLpW0zKcY7nJf3aGd9uBs4e"


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
            "STOREROOM_KEY_CALLS": "7",
            "STOREROOM_ACCOUNT_CALLS": "8",
            "STOREROOM_ADDRESS_CALLS": "0",
            "STOREROOM_EVENTS_MONTHS": "13",
            "STOREROOM_EVENTS_DROP": "on",
            "STOREROOM_SMTP_URL": "smtp://shop%40shop.example:p%3Aass@mail.example?ca=/ca.pem",
            "STOREROOM_MAIL_FROM": "Bücher & Co <Mail@Shop.example>",
            "STOREROOM_SMS_URL": "https://sms.example/send",
            "STOREROOM_SMS_METHOD": "put",
            "STOREROOM_SMS_BODY": "To={to}&Text={text}",
            "STOREROOM_SMS_HEADERS": '{"X-Key": "{token}"}',
            "STOREROOM_SMS_FROM": "Shop",
            "STOREROOM_SMS_TOKEN": "hunter2",
            "PATH": "/bin",
        }
    )
    assert settings.mode is Mode.PRODUCTION
    assert (settings.port, settings.pool_size, settings.trusted_proxies, settings.flood_requests) == (80, 20, 2, 0)
    assert (settings.key_calls, settings.account_calls, settings.address_calls) == (7, 8, 0)
    assert (settings.events_months, settings.events_drop) == (13, True)
    assert (settings.statement_cache, settings.migrate, settings.worker) == (False, False, False)
    assert settings.names.resolve("orders") == "shop_orders"
    assert settings.signing_secret().reveal() == SECRET
    assert SECRET not in repr(settings)
    assert settings.smtp is not None and settings.smtp.password is not None and settings.mail_from is not None
    assert (settings.smtp.user, settings.smtp.password.reveal()) == ("shop@shop.example", "p:ass")
    assert (settings.smtp.port, settings.smtp.tls, settings.smtp.ca_file) == (587, "required", "/ca.pem")
    assert (settings.mail_from.name, settings.mail_from.address) == ("Bücher & Co", "mail@shop.example")
    assert settings.sms is not None and (settings.sms.method, settings.sms.sender) == ("PUT", "Shop")
    assert settings.sms.request(to="1", text="t", message_id="i").headers["X-Key"] == "hunter2"
    assert "hunter2" not in repr(settings) and "p:ass" not in repr(settings)


def test_who_sends_mail_says_who_it_is_from() -> None:
    with pytest.raises(SettingInvalid, match="STOREROOM_MAIL_FROM"):
        Settings.from_environment({"STOREROOM_SMTP_URL": "smtp://127.0.0.1"})


@pytest.mark.parametrize(
    "more",
    [
        {"METHOD": "DELETE"},
        {"BODY": '{"to": "{to}"'},
        {"BODY": "To={to}"},
        {"BODY": "To={to}&Text={text}&Key={key}"},
        {"HEADERS": "X: y"},
        {"HEADERS": '{"X Y": "z"}'},
    ],
)
def test_a_gateway_that_cannot_be_asked_is_refused_at_the_start(more: dict[str, str]) -> None:
    given = {f"STOREROOM_SMS_{name}": text for name, text in more.items()}
    with pytest.raises(SettingInvalid) as refused:
        Settings.from_environment(
            {"STOREROOM_SMS_URL": "https://sms.example", "STOREROOM_SMS_TOKEN": "hunter2", **given}
        )
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("STOREROOM_PORT", "65536"),
        ("STOREROOM_PORT", "-1"),
        ("STOREROOM_PORT", "http"),
        ("STOREROOM_POOL_SIZE", "0"),
        ("STOREROOM_EVENTS_MONTHS", "1"),
        ("STOREROOM_TRUSTED_PROXIES", "10.0.0.1"),
        ("STOREROOM_MODE", "staging"),
        ("STOREROOM_WORKER", "perhaps"),
        ("STOREROOM_DATABASE_URL", "mysql://user:hunter2@db/shop"),
        ("STOREROOM_SECRET", "hunter2"),
        ("STOREROOM_SMTP_URL", "http://user:hunter2@mail.example"),
        ("STOREROOM_SMTP_URL", "smtp://user:hunter2@mail.example:port"),
        ("STOREROOM_SMTP_URL", "smtp://user:hunter2@mail.example?tls=no"),
        ("STOREROOM_SMTP_URL", "smtps://mail.example?starttls=off"),
        ("STOREROOM_MAIL_FROM", "The shop"),
        ("STOREROOM_MAIL_FROM", "a@shop.example\r\nBcc: b@shop.example"),
        ("STOREROOM_SMS_URL", "sms.example"),
        ("STOREROOM_SMS_URL", "https://{to}.example/?text={text}"),
    ],
)
def test_what_cannot_be_read_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        Settings.from_environment({variable: text})
    assert refused.value.variable == variable
    assert variable in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.requirement("CED-ARC-01", "CED-ARC-02", "CED-ARC-03")
def test_the_archival_is_off_unless_it_is_asked_for() -> None:
    plain = Settings.from_environment({})
    assert (plain.archival_enabled, plain.archival_retention, plain.archival_interval) == (
        False,
        timedelta(days=90),
        timedelta(days=1),
    )
    asked = Settings.from_environment(
        {
            "CEDROS_STORAGE_ARCHIVAL_ENABLED": "true",
            "CEDROS_STORAGE_ARCHIVAL_RETENTION_PERIOD": "720h",
            "CEDROS_STORAGE_ARCHIVAL_RUN_INTERVAL": "1h30m",
        }
    )
    assert (asked.archival_enabled, asked.archival_retention, asked.archival_interval) == (
        True,
        timedelta(days=30),
        timedelta(hours=1, minutes=30),
    )


@pytest.mark.requirement("CED-ARC-02")
@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("2160h", timedelta(days=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("90m0s", timedelta(minutes=90)),
        ("3600s500ms", timedelta(hours=1, milliseconds=500)),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, duration: timedelta) -> None:
    read = Settings.from_environment({"STOREROOM_STORAGE_ARCHIVAL_RETENTION_PERIOD": text})
    assert read.archival_retention == duration


@pytest.mark.requirement("CED-ARC-01", "CED-ARC-02", "CED-ARC-03")
@pytest.mark.parametrize("prefix", ["CEDROS", "STOREROOM"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ENABLED", "perhaps"),
        *(
            ("RETENTION_PERIOD", text)
            for text in ("90", "90d", "-1h", "h", "1h 30m", "59m", "1e9h", "9" * 50 + "h", "10y")
        ),
        *(("RUN_INTERVAL", text) for text in ("daily", "0s", "100ms", "999999h")),
    ],
)
def test_what_is_no_duration_is_refused_at_start(prefix: str, name: str, text: str) -> None:
    variable = f"{prefix}_STORAGE_ARCHIVAL_{name}"
    with pytest.raises(SettingInvalid) as refused:
        Settings.from_environment({variable: text})
    assert refused.value.variable == variable


def test_our_own_name_goes_before_the_documents() -> None:
    both = {
        "CEDROS_STORAGE_ARCHIVAL_RETENTION_PERIOD": "720h",
        "STOREROOM_STORAGE_ARCHIVAL_RETENTION_PERIOD": "1440h",
        "CEDROS_STORAGE_ARCHIVAL_ENABLED": "on",
        "STOREROOM_STORAGE_ARCHIVAL_ENABLED": "off",
    }
    read = Settings.from_environment(both)
    assert (read.archival_retention, read.archival_enabled) == (timedelta(days=60), False)


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


@pytest.mark.parametrize(
    "secret",
    [
        "s" * 32,
        "0123456789" * 4,
        "0123456789abcdef" * 2,
        "q8Zr2LxV0nTb5KcJ" * 2,
        "QPZMabcdefghijklmnop98172635uvwxyzXK",
        "change-me-to-something-long-and-random-0123",
        "a secret of the tests, long enough to sign with",
        "Storeroom-7f3a9c1e5b2d8046-qwzxvkjhg",
    ],
)
def test_production_takes_no_sample_of_a_secret(secret: str) -> None:
    given = {"STOREROOM_SECRET": secret}
    assert Settings.from_environment(given).signing_secret().reveal() == secret, "fine to try things out"
    with pytest.raises(SettingInvalid, match="STOREROOM_SECRET") as refused:
        Settings.from_environment({**given, "STOREROOM_MODE": "production"}).signing_secret()
    assert secret not in str(refused.value)


def test_random_secrets_are_taken() -> None:
    chance = random.Random(48)  # the same ones in each run: what is random may hold a word of the samples
    for _ in range(100):
        text = base64.urlsafe_b64encode(chance.randbytes(48)).decode()
        settings = Settings(mode=Mode.PRODUCTION, secret=Secret(text))
        assert settings.signing_secret() is settings.secret


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "signing"
    file.write_text(f"{SECRET}\n")
    production = {"STOREROOM_MODE": "production", "STOREROOM_SECRET_FILE": str(file)}
    assert Settings.from_environment(production).signing_secret().reveal() == SECRET
    file.write_text(f"{SECRET}\n\n{SECRET[::-1]}\n")  # the one in use first
    settings = Settings.from_environment(production)
    assert [each.reveal() for each in settings.known_secrets()] == [SECRET, SECRET[::-1]]
    file.write_text("short")
    for path in (file, tmp_path / "nowhere", tmp_path):
        with pytest.raises(SettingInvalid, match="STOREROOM_SECRET_FILE"):
            Settings.from_environment({**production, "STOREROOM_SECRET_FILE": str(path)})


@pytest.mark.requirement("STO-CFG-07")
def test_app_secret_is_another_name_for_it_and_has_no_default() -> None:
    production = {"STOREROOM_MODE": "production"}
    assert Settings.from_environment({**production, "APP_SECRET": SECRET}).signing_secret().reveal() == SECRET
    both = {**production, "APP_SECRET": SECRET[::-1], "STOREROOM_SECRET": SECRET}
    assert Settings.from_environment(both).signing_secret().reveal() == SECRET
    assert Settings.from_environment({"APP_SECRET": ""}).secret is None
    with pytest.raises(SecretMissing):
        Settings.from_environment(production).signing_secret()
    with pytest.raises(SettingInvalid, match="APP_SECRET: at least 32"):
        Settings.from_environment({"APP_SECRET": "short"})


def test_secrets_that_are_replaced_open_as_well(tmp_path: Path) -> None:
    def known(**variables: str) -> list[str]:
        settings = Settings.from_environment({"STOREROOM_DATA_DIR": str(tmp_path), **variables})
        return [each.reveal() for each in settings.known_secrets()]

    one, two, three = (letter * 32 for letter in "abc")
    assert known(STOREROOM_SECRET=one, STOREROOM_SECRET_PREVIOUS=two) == [one, two]
    assert known(STOREROOM_SECRET=one, STOREROOM_SECRET_PREVIOUS=f'["{two}", "{three}"]') == [one, two, three]
    assert known() == []
    (tmp_path / "secret").write_text(f"{one}\n{two}\n")
    assert known() == [one, two]
    assert known(STOREROOM_SECRET_PREVIOUS=three) == [one, two, three]
    assert known(STOREROOM_MODE="production") == []
    for wrong in ("short", '["short"]', "[", f'["{one}"' * 2, str([one] * 6).replace("'", '"')):
        with pytest.raises(SettingInvalid, match="STOREROOM_SECRET_PREVIOUS"):
            known(STOREROOM_SECRET=one, STOREROOM_SECRET_PREVIOUS=wrong)
