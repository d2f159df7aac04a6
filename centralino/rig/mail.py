"""A mail server that keeps what it gets, on a free port of the loopback address."""

import asyncio
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True)
class Caught:
    """One message as it came: from whom and to whom on the envelope, and the message itself."""

    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def subject(self) -> str:
        """The subject, in plain text."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """The plain text of the body."""
        body = self.message.get_body(("plain",))
        return str(body.get_content()) if body else ""


class MailCatcher:
    """The server, as an async context manager; `messages` are those taken so far, the oldest first.

    `refusing` is an SMTP answer such as `"451 try later"` or `"550 no such user"` to give to every recipient from now
    on; None takes them all.
    """

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.messages: list[Caught] = []
        self.refusing: str | None = None
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True, hostname="localhost", loop=loop), self.host, 0
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def handle_RCPT(  # noqa: N802  # the name that aiosmtpd looks for, as below
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take or refuse one recipient."""
        if self.refusing:
            return self.refusing
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep one message."""
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content or "").encode()
        message = message_from_bytes(content, _class=EmailMessage, policy=policy.default)
        async with self._changed:
            self.messages.append(Caught(envelope.mail_from or "", list(envelope.rcpt_tos), message))
            self._changed.notify_all()
        return "250 OK"

    async def message(self, index: int) -> Caught:
        """The message of that index in `messages`, as soon as it has come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.messages) > index)
        return self.messages[index]

    async def wait_for(self, recipient: str, subject: str = "", *, within: float = 10) -> Caught:
        """Wait for a message to `recipient` whose subject contains `subject`; one that has come already counts.

        Raises TimeoutError, naming what did come, when there is none within that many seconds.
        """

        def found() -> Caught | None:
            return next((one for one in self.messages if recipient in one.recipients and subject in one.subject), None)

        async with self._changed:
            try:
                async with asyncio.timeout(within):
                    await self._changed.wait_for(lambda: found() is not None)
            except TimeoutError:
                came = "; ".join(f"{', '.join(one.recipients)}: {one.subject}" for one in self.messages) or "nothing"
                raise TimeoutError(
                    f"no mail to {recipient} about {subject!r} within {within} s; came: {came}"
                ) from None
            message = found()
            assert message is not None  # noqa: S101  # what was just waited for
            return message
