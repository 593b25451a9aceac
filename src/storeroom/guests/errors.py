"""What is refused to who tried too often."""

from storeroom.core.errors import TooMany


class TooManyAttempts(TooMany):
    """This mail address, phone or order was tried wrongly so often that it is not tried again for now."""

    code = "guests.too_many_attempts"

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(f"too many attempts that failed; try again in {retry_after_s} s", retry_after_s=retry_after_s)
