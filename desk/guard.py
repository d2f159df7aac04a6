"""What stands before every request: who may send it, and what the browser must be told."""

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from desk.errors import DeskError, ForeignOrigin, NotJson

_NO_FORM_SENDS = ("application/json", "application/octet-stream")
"""Content types that a page of another site cannot send without asking; plain bytes are an attachment's."""
_INLINE_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


def content_policy(index_html: str, phone_url: str | None = None) -> str:
    """The content security policy: everything from this server, and the one inline import map by its hash.

    Only the websocket of the phones in the browser may be elsewhere.
    """
    phones = urlsplit(phone_url or "")
    elsewhere = f" {phones.scheme}://{phones.netloc}" if phones.netloc else ""
    scripts = "".join(
        f" 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
        for text in _INLINE_IMPORT_MAP.findall(index_html)
    )
    return (
        f"default-src 'none'; script-src 'self'{scripts}; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        f"font-src 'self'; connect-src 'self'{elsewhere}; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


class Guard:
    """Refuses requests of other sites' pages and adds the security headers.

    Against forged requests three things hold together: the cookie is SameSite=Strict, changing requests need a JSON
    content type, or that of plain bytes (a form of another site cannot send them), and `Origin` must be this server
    when it is there. The API for other programs (`open_to_programs`) knows no cookie, and so nothing to forge.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        policy: str,
        origins: tuple[str, ...],
        strict_transport: bool,
        refuse: Callable[[Scope, DeskError], ASGIApp],
        open_to_programs: str,
    ) -> None:
        self.app = app
        self.origins = {origin.rstrip("/").lower() for origin in origins}
        self.refuse = refuse
        self.open_to_programs = open_to_programs + "/"
        self.headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
        }
        if strict_transport:
            self.headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or websocket."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["type"] == "websocket":
            if not self._same_origin(headers):
                await receive()
                await send({"type": "websocket.close", "code": 4403, "reason": "foreign origin"})
                return
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    out.setdefault(name, value)
                out.setdefault("cache-control", "no-store" if scope["path"].startswith("/api") else "no-cache")
            await send(message)

        app = self.app
        changes = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes and not scope["path"].startswith(self.open_to_programs):
            if not self._same_origin(headers):
                app = self.refuse(scope, ForeignOrigin())
            elif headers.get("content-type", "").split(";")[0].strip().lower() not in _NO_FORM_SENDS:
                app = self.refuse(scope, NotJson())
        await app(scope, receive, send_with_headers)

    def _same_origin(self, headers: Headers) -> bool:
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        if origin is None:  # not a browser's changing request: nothing to forge
            return True
        origin = origin.lower()
        return origin in self.origins or origin.partition("://")[2] == headers.get("host", "").lower()
