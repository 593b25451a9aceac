"""What the people's slice refuses. None of these carries a password, a token or a mail address."""

from uuid import UUID

from storeroom.core.errors import Conflict, Forbidden, Invalid, Misconfigured, NotFound, Unauthenticated, Unavailable
from storeroom.identity.model import (
    ADDRESSES_MAX,
    LEGAL_AGE,
    PASSWORD_LENGTH_MAX,
    PASSWORD_LENGTH_MIN,
    SEARCH_LENGTH_MAX,
    SEARCH_LENGTH_MIN,
)


class UserNotFound(NotFound):
    """The shop has no such account, or it was deleted."""

    code = "identity.user_not_found"

    def __init__(self, *, user_id: UUID | None = None) -> None:
        super().__init__(f"no account {user_id}" if user_id else "no such account")
        self.user_id = user_id


class AddressNotFound(NotFound):
    """The account has no such address."""

    code = "identity.address_not_found"

    def __init__(self, *, address_id: UUID) -> None:
        super().__init__(f"no address {address_id}")
        self.address_id = address_id


class SessionNotFound(NotFound):
    """The account has no such session."""

    code = "identity.session_not_found"

    def __init__(self, *, session_id: UUID) -> None:
        super().__init__(f"no session {session_id}")
        self.session_id = session_id


class EmailTaken(Conflict):
    """An account has this mail address, or had it before it was deleted."""

    code = "identity.email_taken"

    def __init__(self, *, field: str = "email") -> None:
        super().__init__("an account has this mail address")
        self.field = field


class PhoneTaken(Conflict):
    """An account has this telephone number."""

    code = "identity.phone_taken"

    def __init__(self, *, field: str = "phone") -> None:
        super().__init__("an account has this telephone number")
        self.field = field


class InvalidPassword(Invalid):
    """The password cannot be taken: too short, too long, or not a text."""

    code = "identity.invalid_password"

    def __init__(self, *, field: str = "password") -> None:
        super().__init__(f"{PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters", field=field)


class CommonPassword(Invalid):
    """The password is one of those that are guessed first."""

    code = "identity.common_password"

    def __init__(self, *, field: str = "password") -> None:
        super().__init__("one of the passwords that are tried first; take another", field=field)


class LastWayIn(Conflict):
    """The account has no password and no other provider: nobody could sign in to it any more."""

    code = "identity.last_way_in"

    def __init__(self) -> None:
        super().__init__("set a password first: without this provider nobody could sign in")


class ProviderNotLinked(NotFound):
    """The account is not signed in to by this provider."""

    code = "identity.provider_not_linked"

    def __init__(self, *, provider: str) -> None:
        super().__init__(f"no account of {provider} is linked")
        self.provider = provider


class InvalidPerson(Invalid):
    """A field of an account, a profile or an address is out of its bounds; nothing was written."""

    code = "identity.invalid_field"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class SearchRefused(Invalid):
    """A search needs enough letters to go by, and not too many."""

    code = "identity.search_refused"

    def __init__(self, *, field: str = "q") -> None:
        super().__init__(f"search for {SEARCH_LENGTH_MIN} to {SEARCH_LENGTH_MAX} characters", field=field)


class InvalidCredentials(Unauthenticated):
    """Mail address and password do not belong together. Whether the address is known is not said."""

    code = "identity.invalid_credentials"

    def __init__(self) -> None:
        super().__init__("mail address and password do not belong together")


class WrongPassword(Forbidden):
    """The present password is needed for this, and it is another one."""

    code = "identity.wrong_password"

    def __init__(self, *, field: str = "current_password") -> None:
        super().__init__("this is not the present password")
        self.field = field


class AccountBlocked(Forbidden):
    """The password was right; the account may not be used now."""

    code = "identity.account_blocked"

    def __init__(self, *, status: str) -> None:
        super().__init__(f"the account is {status}")
        self.status = status


class TokenRefused(Unauthenticated):
    """The token is none of ours, belongs to another shop, or its time is over; or its session or account has ended."""

    code = "identity.token_refused"

    def __init__(self) -> None:
        super().__init__("this token is not valid, or no longer")


class OneTimeTokenRefused(Invalid):
    """The token from the message was used, replaced by a later one, is too old, or is none of ours."""

    code = "identity.one_time_token_refused"

    def __init__(self, *, field: str = "token") -> None:
        super().__init__("this token is not valid, or no longer; ask for another message", field=field)


class IdTokenRefused(Unauthenticated):
    """The token of the provider is not valid: its signature, audience, time or nonce; or it was used before."""

    code = "identity.id_token_refused"

    def __init__(self) -> None:
        super().__init__("this token of the provider is not valid here, or no longer")


class ProviderNotOffered(Invalid):
    """The shop does not let people in by this provider."""

    code = "identity.provider_not_offered"

    def __init__(self, *, provider: str) -> None:
        super().__init__(f"nobody signs in by {provider} here", field="provider")
        self.provider = provider


class ProviderUnavailable(Unavailable):
    """The keys of the provider cannot be read, so its tokens cannot be tested."""

    code = "identity.provider_unavailable"

    def __init__(self, *, provider: str) -> None:
        super().__init__(f"the keys of {provider} cannot be read now")
        self.provider = provider


class LinkRefused(Forbidden):
    """The provider's account is not taken for one of the shop: its mail address is unproven, or that of staff."""

    code = "identity.link_refused"

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RefreshRaced(Conflict):
    """The refresh token was used a moment ago, by another tab perhaps: use the one that it got."""

    code = "identity.refresh_raced"

    def __init__(self) -> None:
        super().__init__("this refresh token was just replaced; use the new one")


class RefreshReused(Unauthenticated):
    """The refresh token was used before. One of the two who have it stole it, so the session was ended."""

    code = "identity.refresh_reused"

    def __init__(self) -> None:
        super().__init__("this refresh token was used before; the session was ended, sign in again")


class RoleForbidden(Forbidden):
    """Nobody changes an account of their own rank or above, or lifts one up there; nor, as staff, their own."""

    code = "identity.role_forbidden"

    def __init__(self, *, role: str) -> None:
        super().__init__(f"you may not change or make an account of role {role}")
        self.role = role


class UserStatusRefused(Conflict):
    """An account of this status cannot get that one."""

    code = "identity.status_refused"

    def __init__(self, *, status: str, to: str) -> None:
        super().__init__(f"the account is {status} and cannot become {to}")
        self.status, self.to = status, to


class NotStaff(Conflict):
    """Permissions are for accounts of role staff: admins have all, everyone else has none."""

    code = "identity.not_staff"

    def __init__(self, *, role: str) -> None:
        super().__init__(f"permissions count for role staff, not for {role}")
        self.role = role


class BirthDateMissing(Conflict):
    """The age cannot be verified: the profile has no date of birth."""

    code = "identity.birth_date_missing"

    def __init__(self) -> None:
        super().__init__("the profile has no date of birth")


class TooYoung(Conflict):
    """By the date of birth in the profile, the person is not of age."""

    code = "identity.too_young"

    def __init__(self) -> None:
        super().__init__(f"not {LEGAL_AGE} years old yet")
        self.legal_age = LEGAL_AGE


class TooManyAddresses(Conflict):
    """The account keeps as many addresses as one may."""

    code = "identity.too_many_addresses"

    def __init__(self) -> None:
        super().__init__(f"an account keeps at most {ADDRESSES_MAX} addresses")
        self.addresses_max = ADDRESSES_MAX


class PasswordsBusy(Unavailable):
    """More passwords wait to be tested than can be in good time."""

    code = "identity.passwords_busy"

    def __init__(self) -> None:
        super().__init__("too many sign-ins at once; try again in a moment")


class SigningSecretMissing(Misconfigured):
    """Signing in needs a secret to sign tokens with, and the installation has none, or one that is too short."""

    code = "identity.no_signing_secret"

    def __init__(self, *, reason: str = "none was given") -> None:
        super().__init__(f"set STOREROOM_SECRET (or Storeroom.open(secret=…)): {reason}")
        self.reason = reason
