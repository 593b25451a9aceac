"""What is refused to who does not prove who they are. None of these carries a code, a number or a secret."""

from datetime import datetime
from uuid import UUID

from storeroom.core.errors import Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated, Unavailable


class CodeRefused(Unauthenticated):
    """The code is wrong, was used, was replaced, is too old, or was tried too often. Which of these is not said."""

    code = "verification.code_refused"

    def __init__(self) -> None:
        super().__init__("this code is not valid, or no longer; ask for a new one")


class TooManyCodes(TooMany):
    """The phone was sent as many codes as it may be for now."""

    code = "verification.too_many_codes"

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(f"too many codes for this phone; try again in {retry_after_s} s", retry_after_s=retry_after_s)


class PhoneProofRequired(Unauthenticated):
    """The shop asks who wants to know this for a code sent to the phone."""

    code = "verification.phone_proof_required"

    def __init__(self) -> None:
        super().__init__("ask for a code to this phone, verify it, and send its session_id along")


class CodesBusy(Unavailable):
    """More codes wait to be tested than can be in good time."""

    code = "verification.codes_busy"

    def __init__(self) -> None:
        super().__init__("too many codes at once; try again in a moment")


class SecondFactorRequired(Unauthenticated):
    """The password was right; a code is needed as well. The challenge stands for the password until it expires."""

    code = "verification.second_factor_required"

    def __init__(self, *, challenge: str, expires_at: datetime, active: bool) -> None:
        what = "say a code of the authenticator app" if active else "set up a second factor first"
        super().__init__(f"{what}, with this challenge")
        self.challenge, self.expires_at = challenge, expires_at
        self.active = active  # False: the shop requires a second factor, and the account has none yet


class ChallengeRefused(Unauthenticated):
    """The challenge is none of ours, or its time is over: sign in again."""

    code = "verification.challenge_refused"

    def __init__(self) -> None:
        super().__init__("this challenge is not valid, or no longer; sign in again")


class SecondFactorRefused(Unauthenticated):
    """The code is wrong or was used, or too many were wrong lately. Which of these is not said."""

    code = "verification.second_factor_refused"

    def __init__(self) -> None:
        super().__init__("this code is not valid, or no longer; wait for the next one")


class SecondFactorActive(Conflict):
    """The account has a second factor; it is removed first, with a code of it."""

    code = "verification.second_factor_active"

    def __init__(self) -> None:
        super().__init__("a second factor is active; remove it first")


class SecondFactorMissing(NotFound):
    """The account has no second factor, or none that waits to be confirmed."""

    code = "verification.second_factor_missing"

    def __init__(self) -> None:
        super().__init__("there is no second factor to do this with")


class SecondFactorKept(Conflict):
    """The shop requires a second factor of its staff, so nobody removes their own."""

    code = "verification.second_factor_kept"

    def __init__(self) -> None:
        super().__init__("the shop requires a second factor; somebody above you can reset it")


class SecondFactorNotOffered(Forbidden):
    """A second factor is for those who work here."""

    code = "verification.second_factor_not_offered"

    def __init__(self) -> None:
        super().__init__("a second factor is for staff")


class SecondFactorNotYours(Forbidden):
    """One's own second factor is one's own affair; somebody else's can be reset by those above them."""

    code = "verification.second_factor_not_yours"

    def __init__(self, *, user_id: UUID) -> None:
        super().__init__("you may not do this for that account")
        self.user_id = user_id


class NonceNotFound(NotFound):
    """The shop knows no such nonce, or removed it after its time."""

    code = "verification.nonce_not_found"

    def __init__(self) -> None:
        super().__init__("no such nonce")


class NonceExpired(Conflict):
    """Its time is over: ask for another one."""

    code = "verification.nonce_expired"

    def __init__(self) -> None:
        super().__init__("the nonce has expired; ask for another one")


class NonceUsed(Conflict):
    """It was good once, and was used."""

    code = "verification.nonce_already_used"

    def __init__(self) -> None:
        super().__init__("the nonce was used already; ask for another one")


class NonceForOtherPurpose(Conflict):
    """It was asked for to do something else, and stays good for that."""

    code = "verification.invalid_nonce_purpose"

    def __init__(self, *, purpose: str) -> None:
        super().__init__(f"the nonce is not for {purpose}")
        self.purpose = purpose


class NonceRequired(Forbidden):
    """The shop wants a nonce for this: ask for one with this purpose, and send it along."""

    code = "verification.nonce_required"

    def __init__(self, *, purpose: str) -> None:
        super().__init__(f"a nonce for {purpose} is required")
        self.purpose = purpose


class NonceTaken(Conflict):
    """There is a nonce of this id."""

    code = "verification.nonce_taken"

    def __init__(self) -> None:
        super().__init__("there is a nonce of this id; choose another one")


class InvalidNonce(Invalid):
    """Such a nonce cannot be made."""

    code = "verification.invalid_nonce"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason
