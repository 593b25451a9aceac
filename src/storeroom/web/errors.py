"""What the web itself refuses, before any slice was asked."""

from storeroom.core.errors import Forbidden, Invalid, NotFound, StoreroomError, TooMany, Unauthenticated


class MalformedRequest(Invalid):
    """The request cannot be read: broken JSON, a broken form, or no body where one is needed."""

    code = "request.malformed"

    def __init__(self, *, reason: str, field: str | None = None) -> None:
        super().__init__(reason, field=field)


class InvalidRequest(Invalid):
    """A field of the request is missing, unknown, of another type, or out of its bounds."""

    code = "request.invalid"

    def __init__(self, *, reason: str, field: str | None = None, source: str | None = None) -> None:
        super().__init__(reason, field=field)
        self.source = source  # body, query, path, header or cookie


class Unstorable(Invalid):
    """A value that JSON can carry and the database cannot keep: a NUL character, a number beyond all bounds."""

    code = "request.unstorable"

    def __init__(self, *, reason: str, field: str | None = None) -> None:
        super().__init__(reason, field=field)


class NoSuchPath(NotFound):
    """Nothing answers at this path."""

    code = "request.no_such_path"

    def __init__(self) -> None:
        super().__init__("nothing answers at this path")


class MethodNotAllowed(Invalid):
    """The path exists, and does not take this method."""

    code = "request.method_not_allowed"

    def __init__(self) -> None:
        super().__init__("this path does not take this method; the header Allow names those that it takes")


class RequestTooLarge(Invalid):
    """The body is larger than this path takes."""

    code = "request.too_large"

    def __init__(self) -> None:
        super().__init__("the body is larger than this path takes")


class MediaTypeRefused(Invalid):
    """The body comes in a form that this path does not read."""

    code = "request.media_type"

    def __init__(self) -> None:
        super().__init__("this path does not read bodies of this type")


class InternalError(StoreroomError):
    """Something broke that is not the caller's doing; the log knows it by the request id."""

    code = "server.internal"

    def __init__(self) -> None:
        super().__init__("something broke on our side; the request id finds it in the log")


class InvalidToken(Unauthenticated):
    """The token is not one of ours, or its time is over."""

    code = "auth.invalid_token"

    def __init__(self) -> None:
        super().__init__("this token is not valid, or no longer")


class VisitorRequired(Unauthenticated):
    """The call belongs to a visitor: it needs the token of a guest session, or of an account."""

    code = "auth.visitor_required"

    def __init__(self) -> None:
        super().__init__("send the token of your guest session, or sign in")


class SignInRequired(Unauthenticated):
    """The call belongs to an account."""

    code = "auth.sign_in_required"

    def __init__(self) -> None:
        super().__init__("sign in, and send the access token")


class StaffOnly(Forbidden):
    """The call is for the people who run the shop."""

    code = "auth.staff_only"

    def __init__(self) -> None:
        super().__init__("this is for staff")


class PermissionMissing(Forbidden):
    """The account is staff, without the permission that this call needs."""

    code = "auth.permission_missing"

    def __init__(self, *, permission: str) -> None:
        super().__init__(f"this needs the permission {permission}")
        self.permission = permission


class ForeignOrigin(Forbidden):
    """A page of another origin cannot act by the cookie of a visitor; it sends a token in a header."""

    code = "auth.foreign_origin"

    def __init__(self) -> None:
        super().__init__("pages of other origins send the visitor's token as the header Storeroom-Session")


class RateLimited(TooMany):
    """The limit of this call is used up for now."""

    code = "request.rate_limited"

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(f"too many requests; try again in {retry_after_s} s", retry_after_s=retry_after_s)
