"""The agents' phones: all of them on one UDP socket, registered, answering at once, and noting when each one rang.

Just enough SIP for a benchmark on the loopback address; what they say and hear is `Sound`'s.
"""

import asyncio
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.sound import Sound
from centralino.rig.asterisk import AsteriskServer

_SDP = """\
v=0\r
o=- 1 1 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio {port} RTP/AVP 8\r
a=rtpmap:8 PCMA/8000\r
a=sendrecv\r
"""


_RESEND_SECONDS, _RESENDS = 0.5, 10
"""RFC 3261's T1; over UDP a message is sent again until it is answered (17.1.2.2, 13.3.1.4; here without doubling)."""


class _Message:
    """One SIP message, read as far as needed."""

    def __init__(self, text: str) -> None:
        head, _, self.body = text.partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        self.headers: dict[str, str] = {}
        self.vias: list[str] = []
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() == "via":
                self.vias.append(value.strip())
            self.headers[name.lower()] = value.strip()

    def __getitem__(self, name: str) -> str:
        return self.headers.get(name, "")


class Agents(asyncio.DatagramProtocol):
    """The phones, as an async context manager; `rang` holds when (time.time()) each caller's call rang the first time.

    The agent hangs up `talk_seconds` after the answer; that may be changed at any time, and counts for calls answered
    from then on.
    """

    def __init__(self, asterisk: AsteriskServer, names: Sequence[str], *, talk_seconds: float = 1.0) -> None:
        self.talk_seconds = talk_seconds
        self.rang: dict[str, float] = {}
        self._asterisk, self._names = asterisk, names
        self._invites: dict[str, _Message] = {}
        self._replies: dict[str, bytes] = {}
        self._registering: dict[str, asyncio.Future[_Message]] = {}
        self._hanging_up: dict[str, asyncio.TimerHandle] = {}
        self._insisting: dict[str, asyncio.TimerHandle] = {}

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self.sound = Sound()
        signals = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        signals.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**21)
        signals.bind(("127.0.0.1", 0))
        self._port: int = signals.getsockname()[1]
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, sock=signals)
        for name in self._names:
            await self._register(name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in (*self._hanging_up.values(), *self._insisting.values()):
            timer.cancel()
        self._transport.close()
        self.sound.close()

    # ------------------------------------------------------------------------------------------------- registration

    async def _register(self, name: str) -> None:
        tag, call_id, uri = secrets.token_hex(4), secrets.token_hex(8), f"sip:127.0.0.1:{self._asterisk.sip_port}"
        authorization = ""
        for number in (1, 2):
            answered = self._registering[call_id] = self._loop.create_future()
            self._send(
                f"REGISTER {uri} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{self._port};branch=z9hG4bK{secrets.token_hex(8)}\r\n"
                f"From: <sip:{name}@127.0.0.1>;tag={tag}\r\nTo: <sip:{name}@127.0.0.1>\r\n"
                f"Call-ID: {call_id}\r\nCSeq: {number} REGISTER\r\nMax-Forwards: 70\r\n"
                f"Contact: <sip:{name}@127.0.0.1:{self._port}>\r\nExpires: 3600\r\n{authorization}"
            )
            async with asyncio.timeout(5):
                answer = await answered
            if " 200 " in answer.first:
                return
            authorization = self._authorization(name, uri, answer["www-authenticate"])
        raise RuntimeError(f"agent {name} is not let in: {answer.first}")

    def _authorization(self, name: str, uri: str, challenge: str) -> str:
        said: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm, nonce, client = said["realm"], said["nonce"], secrets.token_hex(4)
        whose = _md5(f"{name}:{realm}:{self._asterisk.password_of(name)}")
        response = _md5(f"{whose}:{nonce}:00000001:{client}:auth:{_md5(f'REGISTER:{uri}')}")
        return (
            f'Authorization: Digest username="{name}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
            f'response="{response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="{client}", '
            f'opaque="{said.get("opaque", "")}"\r\n'
        )

    # -------------------------------------------------------------------------------------------------------- calls

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Take one message from Asterisk."""
        at = time.time()
        if not data.strip():
            return
        message = _Message(data.decode(errors="replace"))
        call_id = message["call-id"]
        if message.first.startswith("SIP/2.0"):
            waiting = self._registering.get(call_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            elif waiting is None:  # the answer to our BYE
                self._over(call_id)
            return
        match message.first.partition(" ")[0]:
            case "INVITE":
                self._invited(message, call_id, at)
            case "ACK":
                if call_id in self._invites and call_id not in self._hanging_up:
                    self._calm(call_id)
                    self._hanging_up[call_id] = self._loop.call_later(self.talk_seconds, self._hang_up, call_id)
                    self.sound.begin(call_id, _sound_of(self._invites[call_id]))
            case "BYE":
                self._answer(message, "200 OK")
                self._over(call_id)
            case _:
                self._answer(message, "200 OK")

    def _invited(self, message: _Message, call_id: str, at: float) -> None:
        known = self._invites.get(call_id)
        if known is not None and known["cseq"] == message["cseq"]:  # sent again: our answer was lost
            self._transport.sendto(self._replies[call_id], ("127.0.0.1", self._asterisk.sip_port))
            return
        sdp = _SDP.format(port=self.sound.agent_port)
        if known is not None:  # Asterisk tells the phone who is on the line now
            self._answer(message, "200 OK", sdp)
            return
        found = re.search(r"<sips?:([^@>]*)@", message["from"])
        caller = found[1] if found else ""
        self.rang.setdefault(caller, at)
        self._invites[call_id] = message
        self._answer(message, "180 Ringing")
        self._replies[call_id] = self._answer(message, "200 OK", sdp)
        self._insist(call_id, self._replies[call_id])

    def _insist(self, call_id: str, data: bytes, left: int = _RESENDS) -> None:
        """Send it again and again, beginning in a moment, until `_calm` or `_over`."""

        def again() -> None:
            self._transport.sendto(data, ("127.0.0.1", self._asterisk.sip_port))
            self._insist(call_id, data, left - 1)

        if left:
            self._insisting[call_id] = self._loop.call_later(_RESEND_SECONDS, again)

    def _calm(self, call_id: str) -> None:
        if (timer := self._insisting.pop(call_id, None)) is not None:
            timer.cancel()

    def _over(self, call_id: str) -> None:
        self._calm(call_id)
        self.sound.end(call_id)
        if (timer := self._hanging_up.pop(call_id, None)) is not None:
            timer.cancel()
        self._invites.pop(call_id, None)
        self._replies.pop(call_id, None)

    def _answer(self, message: _Message, status: str, body: str = "") -> bytes:
        vias = "".join(f"Via: {via}\r\n" for via in message.vias)
        to = message["to"] if ";tag=" in message["to"] else f"{message['to']};tag=bench"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return self._send(
            f"SIP/2.0 {status}\r\n{vias}From: {message['from']}\r\nTo: {to}\r\nCall-ID: {message['call-id']}\r\n"
            f"CSeq: {message['cseq']}\r\nContact: <sip:agent@127.0.0.1:{self._port}>\r\n{kind}",
            body,
        )

    def _hang_up(self, call_id: str) -> None:
        invite = self._invites[call_id]
        found = re.search(r"<([^>]+)>", invite["contact"])
        target = found[1] if found else f"sip:127.0.0.1:{self._asterisk.sip_port}"
        self.sound.end(call_id)
        bye = self._send(
            f"BYE {target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{self._port};branch=z9hG4bK{secrets.token_hex(8)}\r\n"
            f"From: {invite['to']};tag=bench\r\nTo: {invite['from']}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\n"
            "Max-Forwards: 70\r\n"
        )
        self._insist(call_id, bye)

    def _send(self, head: str, body: str = "") -> bytes:
        data = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        self._transport.sendto(data, ("127.0.0.1", self._asterisk.sip_port))
        return data


def _sound_of(invite: _Message) -> tuple[str, int]:
    """Where the other side hears: address and port of its SDP (RFC 8866)."""
    address = re.search(r"^c=IN IP4 (\S+)", invite.body, re.M)
    port = re.search(r"^m=audio (\d+)", invite.body, re.M)
    return (address[1] if address else "127.0.0.1", int(port[1]) if port else 9)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
