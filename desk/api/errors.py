"""What the API for other programs answers when it cannot do what was asked (RFC 9457, `application/problem+json`).

    ApiError (400)
    +-- NoToken (401)              no token, or none that is known
    +-- ScopeMissing (403)         the token may not do that
    +-- NotThere (404)             no such request
    +-- TooLarge (413)             more content than is taken
    +-- NotJson (415)              the content must be JSON
    +-- KeyReused (422)            the idempotency key came with other content before
    +-- BadField (422)             a field cannot be taken; `fields` says which and why
    +-- TooOften (429)             with `retry_after` in seconds

`code` is for programs and stays; `detail` is for the people who write them.
"""

from collections.abc import Mapping


class ApiError(Exception):
    """The base of this package's errors."""

    status = 400
    code = "bad_request"
    detail = "The request cannot be understood."
    fields: Mapping[str, str] = {}

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the answer."""
        return {}


class NoToken(ApiError):
    """There is no valid token."""

    status = 401
    code = "no_token"
    detail = "Send `Authorization: Bearer TOKEN`; `centralino token add` gives one."

    @property
    def headers(self) -> dict[str, str]:
        """How to log in, as RFC 6750 wants it."""
        return {"www-authenticate": "Bearer"}


class ScopeMissing(ApiError):
    """The token may not do that."""

    status = 403
    code = "scope_missing"

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.detail = f"This token has not the scope {scope!r}."


class NotThere(ApiError):
    """There is no such request."""

    status = 404
    code = "not_there"
    detail = "There is no request with this ticket number, or a digit of it is wrong."


class TooLarge(ApiError):
    """There is more content than is taken."""

    status = 413
    code = "too_large"

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.detail = f"At most {most} bytes are taken."


class NotJson(ApiError):
    """The content is not said to be JSON."""

    status = 415
    code = "not_json"
    detail = "The content must be JSON: send `Content-Type: application/json`."


class KeyReused(ApiError):
    """The idempotency key came with other content before."""

    status = 422
    code = "key_reused"
    detail = "This Idempotency-Key was used for something else: every new thing needs a new key."


class BadField(ApiError):
    """A field cannot be taken."""

    status = 422
    code = "invalid_input"
    detail = "Nothing was done: see `fields`."

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields)
        self.fields = fields


class TooOften(ApiError):
    """More requests than the token may make; `retry_after` is in seconds."""

    status = 429
    code = "too_often"

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after
        self.detail = f"Too many requests: try again in {retry_after:.0f} s."

    @property
    def headers(self) -> dict[str, str]:
        """When to come back."""
        return {"retry-after": str(int(self.retry_after) + 1)}
