"""Codes of an authenticator app: RFC 6238 with what all apps know, six digits of SHA-1 in steps of 30 s."""

from datetime import datetime

from storeroom.core.secrets import same
from storeroom.verification.model import STEP_S, STEPS_ASIDE, TOTP_DIGITS


def new_secret() -> str:
    """160 random bits in base 32."""
    import pyotp  # noqa: PLC0415  # slow to import

    return pyotp.random_base32(32)


def uri(secret: str, *, account: str, issuer: str) -> str:
    """What a QR code says."""
    import pyotp  # noqa: PLC0415  # slow to import

    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)


def matching_step(secret: str, code: str, *, now: datetime) -> int | None:
    """The step of which this is the code: that of now, or one beside it. Which of them takes no different time."""
    import pyotp  # noqa: PLC0415  # slow to import

    typed = "".join(code.split())
    if len(typed) != TOTP_DIGITS or not (typed.isascii() and typed.isdigit()):
        return None
    app, current = pyotp.TOTP(secret), int(now.timestamp()) // STEP_S
    steps = range(current - STEPS_ASIDE, current + STEPS_ASIDE + 1)
    right = [step for step in steps if same(app.generate_otp(step), typed)]
    return right[-1] if right else None
