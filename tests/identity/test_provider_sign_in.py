"""Google and Apple: whose token opens whose account, and what no token does. The keys come from a server of the test."""

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import msgspec
import pytest
from house import PASSWORD, House
from joserfc import jwt
from joserfc.jwk import RSAKey

from market import Market
from posted import posted
from rivals import race
from serving import app_of
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Transaction
from storeroom.identity import (
    AccountBlocked,
    AccountSettings,
    Attribution,
    AuthProvider,
    IdTokenRefused,
    InvalidCredentials,
    LastWayIn,
    LinkRefused,
    OneTimeTokenRefused,
    Proof,
    ProviderNotLinked,
    ProviderNotOffered,
    ProviderUnavailable,
    SignedIn,
    TokenRefused,
    UserNotFound,
    UserRole,
    UserStatus,
    passwords,
    providers,
)
from storeroom.identity.providers import Provider, Vouched

CLIENT = "shop.apps.example"
ISSUER = "https://accounts.example"


class Issuer:
    """A provider: signs tokens, and publishes its keys over HTTP."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "first"})
        self.published = [self.key]
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                keys = {"keys": [key.as_dict(private=False) for key in issuer.published]}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(msgspec.json.encode(keys))

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self.path = secrets.token_hex(8)  # keys are kept by their address, and a port comes back
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def provider(self) -> Provider:
        return Provider(issuers=(ISSUER,), keys_url=f"http://127.0.0.1:{self.server.server_address[1]}/{self.path}")

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    made = Issuer()
    for provider in (AuthProvider.GOOGLE, AuthProvider.APPLE):
        monkeypatch.setitem(providers.PROVIDERS, provider, made.provider)
    yield made
    made.stop()


@pytest.fixture
async def door(house: House, issuer: Issuer) -> "Door":
    settings = AccountSettings(google_client_ids=["another", CLIENT], apple_client_ids=["com.example.shop"])
    await house.shop.mail_proofs.set_settings(settings=settings)
    return Door(house, issuer)


def with_the_public_key_as_secret(token: str, key: RSAKey) -> str:
    """What whoever takes the algorithm from the token takes for signed."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"first"}').rstrip(b"=").decode()
    signed = f"{header}.{token.split('.')[1]}"
    signature = hmac.digest(key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


class Door:
    """The shop that a provider's people come to."""

    def __init__(self, house: House, issuer: Issuer) -> None:
        self.house, self.issuer = house, issuer

    def token(self, nonce: str, /, *, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        now = int(self.house.clock.now().timestamp())
        said = {
            "iss": ISSUER,
            "aud": CLIENT,
            "sub": "1001",
            "iat": now,
            "exp": now + 600,
            "nonce": nonce,
            "email": "Ann@Example.com",
            "email_verified": True,
            "name": "Ann Buyer",
        }
        said = {name: value for name, value in {**said, **claims}.items() if value is not None}
        given = {"alg": "RS256", "kid": "first", **(header or {})}
        return jwt.encode(given, said, key or self.issuer.key, algorithms=["RS256", "HS256"])

    async def sign_in(self, guest_token: str | None = None, **claims: Any) -> SignedIn:
        nonce, _ = await self.house.shop.provider_proofs.nonce()
        return await self.house.shop.sign_in.with_provider(
            provider=AuthProvider.GOOGLE,
            id_token=self.token(nonce, **claims),
            nonce=nonce,
            attribution=Attribution(utm_source="news"),
            guest_token=guest_token,
        )


@pytest.mark.requirement("SBB-USR-03", "SBB-USR-05", "SBB-PROF-06")
async def test_a_new_person_gets_an_account_and_is_known_again(door: Door) -> None:
    house = door.house
    first = await door.sign_in()
    user = first.user
    assert (user.email, user.full_name, user.auth_provider) == ("ann@example.com", "Ann Buyer", AuthProvider.GOOGLE)
    assert (user.email_verified, user.status, user.role) == (True, UserStatus.ACTIVE, UserRole.CUSTOMER)
    assert await house.column("password_hash", user.id) is None
    with pytest.raises(InvalidCredentials):
        await house.shop.sessions.sign_in(email=user.email, password="")
    assert await house.shop.sessions.authenticate(first.access_token)
    again = await door.sign_in(email="ann@elsewhere.example", name="Somebody")
    assert again.user == user, "their name there decides, not the address"
    assert (await house.shop.users.profile(user_id=user.id)).utm_source == "news"
    (linked,) = await house.of(user).provider_proofs.list(user_id=user.id)
    assert (linked.provider, linked.subject, linked.email) == (AuthProvider.GOOGLE, "1001", "ann@example.com")
    stranger = await house.customer("bo@example.com")
    with pytest.raises(UserNotFound):
        await house.of(stranger).provider_proofs.list(user_id=user.id)


async def test_no_token_but_a_good_one_opens_anything(door: Door, other: House) -> None:
    """Nothing is written for it, and the nonce is still good for the right one."""
    house, proofs = door.house, door.house.shop.provider_proofs
    nonce, _ = await proofs.nonce()
    now = int(house.clock.now().timestamp())
    stranger = RSAKey.generate_key(2048, {"kid": "first"})
    good = door.token(nonce)
    head, body, _ = good.split(".")
    refused = [
        door.token(nonce, key=stranger),
        with_the_public_key_as_secret(good, door.issuer.key),
        door.token(nonce, header={"kid": "another"}),
        f"{head}.{body}.",
        f"{head}.{body}.{door.token('another').split('.')[2]}",
        door.token(nonce, iss="https://evil.example"),
        door.token(nonce, iss=None),
        door.token(nonce, aud="somebody.else"),
        door.token(nonce, aud="com.example.shop"),  # is Apple's
        door.token(nonce, aud=[CLIENT, "somebody.else"]),
        door.token(nonce, aud=None),
        door.token(nonce, exp=now - 61),
        door.token(nonce, exp=None),
        door.token(nonce, iat=None),
        door.token(nonce, sub=None),
        door.token(nonce, sub="x" * 256),
        door.token(nonce, nonce="another"),
        door.token(nonce, nonce=None),
        "",
        "a.b.c",
        "\ud800",
        good * 9,
    ]
    for token in refused:
        with pytest.raises(IdTokenRefused):
            await proofs.prove(provider=AuthProvider.GOOGLE, id_token=token, nonce=nonce)
    made_up = "x" * 43
    with pytest.raises(IdTokenRefused):  # a nonce that we never gave
        await proofs.prove(provider=AuthProvider.GOOGLE, id_token=door.token(made_up), nonce=made_up)
    with pytest.raises(ProviderNotOffered):
        await other.shop.provider_proofs.prove(provider=AuthProvider.GOOGLE, id_token=good, nonce=nonce)
    with pytest.raises(ProviderNotOffered):
        await proofs.prove(provider=AuthProvider.EMAIL, id_token=good, nonce=nonce)
    assert await house.count("users") == await house.count("account_identities") == 0
    assert await proofs.prove(provider=AuthProvider.GOOGLE, id_token=good, nonce=nonce)
    with pytest.raises(IdTokenRefused):  # stolen from the client and sent again
        await proofs.prove(provider=AuthProvider.GOOGLE, id_token=good, nonce=nonce)


async def test_a_nonce_of_another_shop_and_an_old_one_are_refused(door: Door, other: House) -> None:
    settings = AccountSettings(google_client_ids=[CLIENT])
    await other.shop.mail_proofs.set_settings(settings=settings)
    theirs, _ = await other.shop.provider_proofs.nonce()
    old, _ = await door.house.shop.provider_proofs.nonce()
    await door.house.run("UPDATE {account_tokens} SET expires_at = now() WHERE tenant_id = $1")
    for nonce in (theirs, old):
        with pytest.raises(IdTokenRefused):
            await door.house.shop.provider_proofs.prove(
                provider=AuthProvider.GOOGLE, id_token=door.token(nonce), nonce=nonce
            )


@pytest.mark.requirement("SBB-USR-03")
async def test_apples_tokens_carry_a_hash_of_the_nonce_and_say_true_in_words(door: Door) -> None:
    nonce, _ = await door.house.shop.provider_proofs.nonce()
    token = door.token(
        hashlib.sha256(nonce.encode()).hexdigest(), aud="com.example.shop", email_verified="true", name=None
    )
    proofs = door.house.shop.provider_proofs
    proof = await proofs.prove(provider=AuthProvider.APPLE, id_token=token, nonce=nonce)
    user = await door.house.shop.users.get(user_id=proof.user_id)
    assert (user.auth_provider, user.full_name) == (AuthProvider.APPLE, None)


@pytest.mark.parametrize("said", [False, "false", None, "yes", 1])
async def test_only_a_proven_address_links(door: Door, said: object) -> None:
    await door.house.customer()
    for claims in ({"email_verified": said}, {"email": None}, {"email": ["ann@example.com"]}, {"email": "nonsense"}):
        with pytest.raises(LinkRefused):
            await door.sign_in(**claims)
    assert await door.house.count("users") == 1
    assert await door.house.count("account_identities") == 0


async def test_whoever_proved_the_address_here_keeps_password_and_sessions(door: Door) -> None:
    house = door.house
    user = await house.customer()
    await house.run("UPDATE {users} SET email_verified = TRUE, email_verified_at = now() WHERE tenant_id = $1")
    here = await house.shop.sessions.sign_in(email=user.email, password=PASSWORD)
    assert (await door.sign_in()).user.id == user.id
    assert await house.shop.sessions.authenticate(here.access_token)
    assert await house.shop.sessions.sign_in(email=user.email, password=PASSWORD)


async def test_whoever_registered_with_anothers_address_loses_the_account_to_them(door: Door) -> None:
    """Else they would wait inside for the owner of the mailbox to come, and see what she does."""
    house = door.house
    user = await house.customer()
    waiting = await house.shop.sessions.sign_in(email=user.email, password=PASSWORD)
    await house.shop.mail_proofs.send_reset(email=user.email)
    (sent,) = await posted(house.room, house.shop.tenant_id)
    owner = await door.sign_in()
    assert owner.user.id == user.id
    assert owner.user.email_verified
    with pytest.raises(InvalidCredentials):
        await house.shop.sessions.sign_in(email=user.email, password=PASSWORD)
    for refused in (
        house.shop.sessions.refresh(waiting.refresh_token),
        house.shop.sessions.authenticate(waiting.access_token),
    ):
        with pytest.raises(TokenRefused):
            await refused
    with pytest.raises(OneTimeTokenRefused):
        await house.shop.mail_proofs.reset_password(token=str(sent.facts["token"]), new_password=PASSWORD)
    assert await house.shop.sessions.authenticate(owner.access_token)


@pytest.mark.parametrize("role", [UserRole.STAFF, UserRole.ADMIN, UserRole.SUPER_ADMIN])
async def test_a_mailbox_elsewhere_does_not_open_an_account_of_staff(door: Door, role: UserRole) -> None:
    member = await door.house.member(role)
    with pytest.raises(LinkRefused):
        await door.sign_in(email=member.email)
    assert await door.house.count("account_identities") == 0


@pytest.mark.parametrize("role", [UserRole.STAFF, UserRole.ADMIN, UserRole.SUPER_ADMIN])
async def test_whoever_becomes_staff_comes_in_by_no_mailbox_elsewhere_any_more(door: Door, role: UserRole) -> None:
    house = door.house
    user = (await door.sign_in()).user
    await house.shop.users.set_role(user_id=user.id, role=UserRole.WHOLESALE)
    assert (await door.sign_in()).user.id == user.id
    await house.shop.users.set_role(user_id=user.id, role=role)
    before = await house.count("auth_sessions")
    with pytest.raises(LinkRefused):
        await door.sign_in()
    assert await house.count("auth_sessions") == before
    await house.shop.users.set_role(user_id=user.id, role=UserRole.CUSTOMER)
    assert (await door.sign_in()).user.id == user.id


async def test_a_blocked_or_deleted_account_stays_closed(door: Door) -> None:
    house = door.house
    user = (await door.sign_in()).user
    await house.shop.users.set_status(user_id=user.id, status=UserStatus.SUSPENDED)
    with pytest.raises(AccountBlocked):
        await door.sign_in()
    await house.shop.users.delete(user_id=user.id)
    for claims in ({}, {"sub": "another"}):
        with pytest.raises(AccountBlocked):
            await door.sign_in(**claims)
    assert await house.count("users") == 1


async def test_two_first_sign_ins_at_once_make_one_account(door: Door) -> None:
    house = door.house
    person = Vouched(provider=AuthProvider.GOOGLE, subject="1001", email="ann@example.com", name=None)
    nonce, _ = await house.shop.provider_proofs.nonce()

    async def first(tx: Transaction) -> None:
        await house.shop.provider_proofs.bound(tx)._account_of(person, None)

    outcome = await race(
        house.db,
        first,
        lambda: house.shop.provider_proofs.prove(provider=AuthProvider.GOOGLE, id_token=door.token(nonce), nonce=nonce),
    )
    assert isinstance(outcome, Proof)
    assert await house.count("users") == await house.count("account_identities") == 1


async def test_keys_are_asked_for_once_and_again_for_a_new_one_but_not_for_every_made_up_one(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await door.sign_in()
    assert door.issuer.asked == 1
    turned = RSAKey.generate_key(2048, {"kid": "second"})
    door.issuer.published.append(turned)
    for _ in range(3):
        with pytest.raises(IdTokenRefused):
            await door.sign_in(key=turned, header={"kid": "second"})
    assert door.issuer.asked == 1, "a minute has to pass"
    monkeypatch.setattr(providers, "KEYS_EVERY_S", 0.0)
    await door.sign_in(key=turned, header={"kid": "second"})
    assert door.issuer.asked == 2


async def test_a_provider_that_does_not_answer_is_said_to(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Provider(issuers=(ISSUER,), keys_url="http://127.0.0.1:1/keys")
    monkeypatch.setitem(providers.PROVIDERS, AuthProvider.GOOGLE, silent)
    with pytest.raises(ProviderUnavailable):
        await door.sign_in()


async def test_by_provider_over_http_with_the_guests_cart(door: Door) -> None:
    house = door.house
    host = f"{secrets.token_hex(6)}.test"
    await house.room.tenants.add_host(house.shop.tenant_id, host)
    market = Market(house.db, house.shop.context)
    shirt = await market.variant()
    session, guest_token = await house.shop.sessions.guest()
    visitor = Visitor(session_id=session.id)
    cart = await house.shop.carts.create(visitor=visitor)
    await house.shop.carts.add(visitor=visitor, cart_id=cart.id, variant_id=shirt, quantity=2)
    app: Any = app_of(house.room)
    transport = httpx.ASGITransport(app=app, client=(f"2001:db8::{secrets.token_hex(2)}", 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        nonce = (await http.post("/v1/auth/nonce")).json()["nonce"]
        body = {"provider": "google", "id_token": door.token(nonce), "nonce": nonce}
        headers = {"Storeroom-Session": f"guest_{house.shop.tenant_id}.{guest_token}"}
        answer = await http.post("/v1/auth/sign-in/provider", json=body, headers=headers)
        assert answer.status_code == 200
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        own = (await http.get(f"/v1/carts/{cart.id}", headers=bearer)).json()
        assert [item["quantity"] for item in own["items"]] == [2]
        again = await http.post("/v1/auth/sign-in/provider", json=body)
        assert (again.status_code, again.json()["code"]) == (401, "identity.id_token_refused")
        for wrong in ({**body, "provider": "email"}, {**body, "provider": "facebook"}, {**body, "nonce": ""}):
            assert (await http.post("/v1/auth/sign-in/provider", json=wrong)).status_code == 400


# --- Signing in without it from now on --------------------------------------------------------------------------------


async def test_the_last_way_in_is_not_taken_away(door: Door) -> None:
    house = door.house
    user = (await door.sign_in()).user
    own = house.of(user)
    with pytest.raises(LastWayIn):
        await own.provider_proofs.unlink(user_id=user.id, provider=AuthProvider.GOOGLE)
    assert len(await own.provider_proofs.list(user_id=user.id)) == 1
    with pytest.raises(ProviderNotLinked):
        await own.provider_proofs.unlink(user_id=user.id, provider=AuthProvider.APPLE)
    await house.run(  # as signing in with Apple would
        "INSERT INTO {account_identities} (tenant_id, provider, subject, user_id, email) "
        "VALUES ($1, 'apple', 'a1', $2, 'ann@example.com')",
        user.id,
    )
    await own.provider_proofs.unlink(user_id=user.id, provider=AuthProvider.GOOGLE)
    assert [each.provider for each in await own.provider_proofs.list(user_id=user.id)] == [AuthProvider.APPLE]
    assert (await own.users.get(user_id=user.id)).auth_provider is AuthProvider.APPLE
    with pytest.raises(LastWayIn):
        await own.provider_proofs.unlink(user_id=user.id, provider=AuthProvider.APPLE)


async def test_of_two_that_are_unlinked_at_once_one_stays(door: Door) -> None:
    house = door.house
    user = (await door.sign_in()).user
    await house.run(
        "INSERT INTO {account_identities} (tenant_id, provider, subject, user_id, email) "
        "VALUES ($1, 'apple', 'a1', $2, 'ann@example.com')",
        user.id,
    )
    own = house.of(user).provider_proofs

    async def first(tx: Transaction) -> None:
        await own.bound(tx).unlink(user_id=user.id, provider=AuthProvider.GOOGLE)

    outcome = await race(house.db, first, lambda: own.unlink(user_id=user.id, provider=AuthProvider.APPLE))
    assert isinstance(outcome, LastWayIn)
    assert [each.provider for each in await own.list(user_id=user.id)] == [AuthProvider.APPLE]


async def test_over_http_a_provider_is_left_for_a_password(door: Door) -> None:
    house = door.house
    signed_in = await door.sign_in()
    host = f"{secrets.token_hex(6)}.test"
    await house.room.tenants.add_host(house.shop.tenant_id, host)
    transport = httpx.ASGITransport(app=app_of(house.room), client=("2001:db8::17", 1))  # type: ignore[arg-type]
    bearer = {"Authorization": f"Bearer {signed_in.access_token}"}
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=bearer) as http:
        (listed,) = (await http.get("/v1/account/providers")).json()
        assert (listed["provider"], listed["email"]) == ("google", "ann@example.com")
        refused = await http.delete("/v1/account/providers/google")
        assert (refused.status_code, refused.json()["code"]) == (409, "identity.last_way_in")
        for unknown in ("email", "facebook", "apple"):
            answer = await http.delete(f"/v1/account/providers/{unknown}")
            assert (answer.status_code, answer.json()["code"]) == (404, "identity.provider_not_linked")
        await house.run(
            "UPDATE {users} SET password_hash = $3 WHERE tenant_id = $1 AND id = $2",
            signed_in.user.id,
            await passwords.hashed(PASSWORD),
        )
        assert (await http.delete("/v1/account/providers/google")).status_code == 204
        assert (await http.get("/v1/account/providers")).json() == []
    known = await house.shop.sessions.sign_in(email="ann@example.com", password=PASSWORD)
    assert known.user.auth_provider is AuthProvider.EMAIL
    assert (await door.sign_in()).user.id == known.user.id, "signing in with it links it again"
