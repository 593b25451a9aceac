"""What is refused to who does not prove who they are. None of these carries a code, a number or a secret."""

from storeroom.core.errors import TooMany, Unauthenticated, Unavailable


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
