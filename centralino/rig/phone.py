"""A telephone without a person: baresip, without a sound card, driven over its control port.

A phone with a password registers and is an agent's; one without is a caller from outside with any number it likes.
What it says comes from a WAV, what it hears goes into one.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self
from urllib.parse import quote

from centralino.rig import audio
from centralino.rig.errors import PhoneFailed
from centralino.rig.ports import PortRange
from ivr.tasks import ended

_PATIENCE = 10.0  # seconds, for what takes a moment at most
_SILENCE_AFTER = 300.0  # seconds; baresip hangs up at the end of the WAV it speaks

# No jitter buffer: when the source of the sound (SSRC) changes within the first packets, as when an agent picks up at
# once, that of baresip 1.0 stays with the old numbering and drops the new source for the rest of the call.
_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip}
call_local_timeout 120
call_max_calls 4
audio_player aubridge,nil
audio_source aufile,{wav}
audio_alert aubridge,nil
audio_level no
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
audio_buffer 20-160
rtp_ports {rtp_first}-{rtp_last}
rtcp_mux no
jitter_buffer_delay 0-0
rtp_stats no
net_interface 127.0.0.1
module_path {modules}
module g711.so
module sndfile.so
module aufile.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
snd_path {sound}
menu_bell no
ringback_disabled yes
statmode_default off
"""


class Event(StrEnum):
    """What happens to a phone."""

    REGISTERED = "REGISTER_OK"
    RINGING = "CALL_INCOMING"
    RINGBACK = "CALL_RINGING"
    ESTABLISHED = "CALL_ESTABLISHED"
    CLOSED = "CALL_CLOSED"
    KEY = "CALL_DTMF_START"
    """The other side pressed a key: `reason` says which."""


_EVENTS: dict[str, Event] = {event.value: event for event in Event}


@dataclass(frozen=True)
class Happened:
    """One event: `at` in seconds of `time.monotonic()`, `peer` the other side's SIP address, `reason` in its words."""

    event: Event
    at: float
    peer: str
    peer_name: str
    reason: str


class Exchange(Protocol):
    """What a phone needs to know of an Asterisk: the address and UDP port it listens on."""

    @property
    def sip_host(self) -> str:
        """The address."""
        ...

    @property
    def sip_port(self) -> int:
        """The port."""
        ...


class Phone:
    """One phone, as an async context manager; it is always ended, and its sound files with it.

    `name` is the account's name, or the caller's number (`"anonymous"` withholds it; any text is passed on as it is).
    `wav` is what it says, from the moment a call is established; None is silence. `answer` says what it does when it
    rings: `auto` picks up, `reject` refuses, `manual` waits for `answer()` or `reject()`.

    Raises PhoneFailed when it does not start, or is not let in with its password.
    """

    def __init__(
        self,
        name: str,
        server: Exchange,
        *,
        wav: Path | None = None,
        password: str | None = None,
        caller_name: str | None = None,
        answer: Literal["auto", "manual", "reject"] = "auto",
    ) -> None:
        if password is not None and not password.replace("-", "").replace("_", "").isalnum():
            raise ValueError("baresip takes a password of letters, digits, - and _ only")
        self.name = name
        self.events: list[Happened] = []
        self._server, self._wav, self._password = server, wav, password
        self._caller_name, self._mode = caller_name, answer
        self._given: set[int] = set()
        self._replies: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Condition()
        self._token = 0
        self._gone = False

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="centralino-phone-")))
            ports = PortRange(20)
            stack.callback(ports.close)
            self._write_files(ports)
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", "baresip", "-f", str(self._folder)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            stack.push_async_callback(self._end)
            await self._connect(ports.first + 1)
            stack.callback(self._writer.close)
            listening = asyncio.create_task(self._listen())
            stack.push_async_callback(ended, listening)
            if self._password is not None:
                await self._registered()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def call(self, number: str) -> None:
        """Dial a number; what comes of it are events (RINGBACK, ESTABLISHED, CLOSED)."""
        self._given.update(range(len(self.events)))  # waits are for this call's events
        await self._command("dial", f"sip:{quote(number, safe='+')}@{self._server.sip_host}:{self._server.sip_port}")

    async def press(self, digits: str) -> None:
        """Press keys (0-9, *, #) during a call."""
        for digit in digits:
            await self._command("sndcode", digit)

    async def speak(self, wav: Path) -> None:
        """Say something else from now on, in the call that is up."""
        await self._command("ausrc", f"aufile,{self._padded(wav)}")

    async def answer(self) -> None:
        """Pick up."""
        await self._command("accept")

    async def reject(self) -> None:
        """Refuse the call that rings."""
        await self._command("hangup")

    async def hang_up(self) -> None:
        """End the call."""
        await self._command("hangup")

    async def wait_for(self, *kinds: Event, within: float = _PATIENCE) -> Happened:
        """Wait for the next event of these kinds that no earlier wait gave.

        Raises TimeoutError, naming what did happen, when it does not come within that many seconds.
        """

        def found() -> int | None:
            return next(
                (at for at, one in enumerate(self.events) if one.event in kinds and at not in self._given), None
            )

        async with self._changed:
            try:
                async with asyncio.timeout(within):
                    await self._changed.wait_for(lambda: self._gone or found() is not None)
            except TimeoutError:
                happened = ", ".join(one.event.name for one in self.events) or "nothing"
                wanted = " or ".join(kind.name for kind in kinds)
                raise TimeoutError(f"phone {self.name}: no {wanted} within {within} s; happened: {happened}") from None
            at = found()
            if at is None:
                raise PhoneFailed(f"phone {self.name} has ended by itself")
            self._given.add(at)
            return self.events[at]

    def heard(self) -> Path:
        """Give the WAV of what the phone heard in its last call; complete once the call is closed."""
        return self._recorded("dec")

    def said(self) -> Path:
        """Give the WAV of what the phone said in its last call; complete once the call is closed."""
        return self._recorded("enc")

    def _recorded(self, which: str) -> Path:
        newest = self._newest(which)
        if newest is None:
            raise PhoneFailed(f"phone {self.name} has had no call with sound")
        return newest

    def _newest(self, which: str) -> Path | None:
        files = (self._folder / "sound").glob(f"dump-*-{which}.wav")
        return max(files, key=lambda path: path.stat().st_mtime, default=None)

    def _padded(self, wav: Path) -> Path:
        target = self._folder / f"{wav.stem}-padded.wav"
        return target if target.exists() else audio.pad(wav, target, after=_SILENCE_AFTER)

    def _write_files(self, ports: PortRange) -> None:
        sound = self._folder / "sound"
        sound.mkdir()
        silent = audio.write_samples(self._folder / "silence.wav", audio.silence(_SILENCE_AFTER))
        config = _CONFIG.format(
            sip=ports.first + 2,  # also over TCP, and with TLS one above
            control=ports.first + 1,
            rtp_first=ports.first + 4,
            rtp_last=ports.last,
            wav=self._padded(self._wav) if self._wav else silent,
            sound=sound,
            modules=_modules(),
        )
        user = quote(self.name, safe="+")
        shown = (self._caller_name or "").replace("\\", "\\\\").replace('"', '\\"')
        account = f'"{shown}" ' if shown else ""
        if self._password is None:
            account += f"<sip:{user}@127.0.0.1>;regint=0"
        else:
            registrar = f"{self._server.sip_host}:{self._server.sip_port}"
            account += f"<sip:{user}@{registrar}>;auth_pass={self._password};regint=60"
        account += f";answermode={'auto' if self._mode == 'auto' else 'manual'};audio_codecs=PCMA/8000/1\n"
        for name, text in {"config": config, "accounts": account, "contacts": ""}.items():
            (self._folder / name).write_text(text, encoding="utf-8")

    async def _connect(self, port: int) -> None:
        for _ in range(200):
            if self._process.returncode is not None:
                raise PhoneFailed(f"baresip ended with code {self._process.returncode} as soon as it started")
            try:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return
        raise PhoneFailed("baresip did not open its control port within 10 s")

    async def _listen(self) -> None:
        """Take what baresip says: netstrings (length, colon, JSON, comma), events and replies mixed."""
        try:
            while True:
                length = int((await self._reader.readuntil(b":"))[:-1])
                message = json.loads((await self._reader.readexactly(length + 1))[:-1].decode(errors="replace"))
                at = time.monotonic()
                if message.get("type") == Event.CLOSED:
                    await self._sound_written()
                async with self._changed:
                    if message.get("event"):
                        self._take(message, at)
                    else:
                        self._replies[message.get("token", "")] = message
                    self._changed.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            async with self._changed:
                self._gone = True
                self._changed.notify_all()

    async def _sound_written(self) -> None:
        """Wait until the call's WAVs are finished: baresip does that a moment after it says that the call is closed."""
        files = [self._newest(which) for which in ("dec", "enc")]
        for _ in range(100):
            if all(path is None or path.read_bytes()[40:44] not in (b"", bytes(4)) for path in files):
                return
            await asyncio.sleep(0.02)

    def _take(self, message: dict[str, Any], at: float) -> None:
        event = _EVENTS.get(message["type"])
        if event is None:
            return
        happened = Happened(
            event=event,
            at=at,
            peer=message.get("peeruri", ""),
            peer_name=message.get("peerdisplayname", ""),
            reason=message.get("param", ""),
        )
        self.events.append(happened)
        if event is Event.RINGING and self._mode == "reject":
            self._rejecting = asyncio.create_task(self.reject())

    async def _command(self, name: str, params: str | None = None) -> dict[str, Any]:
        self._token += 1
        token = str(self._token)
        request = {"command": name, "token": token} | ({"params": params} if params is not None else {})
        body = json.dumps(request).encode()
        self._writer.write(b"%d:%s," % (len(body), body))
        await self._writer.drain()
        async with self._changed, asyncio.timeout(_PATIENCE):
            await self._changed.wait_for(lambda: self._gone or token in self._replies)
        if self._gone:
            raise PhoneFailed(f"phone {self.name} has ended by itself")
        reply = self._replies.pop(token)
        if not reply.get("ok", True):
            raise PhoneFailed(f"phone {self.name} refused {name}: {reply.get('data', '')}")
        return reply

    async def _registered(self) -> None:
        # The event may have passed before the control port was open: ask.
        for _ in range(100):
            answer = str((await self._command("reginfo")).get("data", ""))
            if "OK" in answer:
                return
            if "ERR" in answer:
                break
            await asyncio.sleep(0.05)
        raise PhoneFailed(f"phone {self.name} is not let in with its password")

    async def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(3):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def _modules() -> Path:
    """Find baresip's modules. Raises PhoneFailed when baresip is not installed."""
    for root in (Path("/usr/lib"), Path("/usr/local/lib")):
        for folder in (root / "baresip/modules", *root.glob("*/baresip/modules")):
            if (folder / "g711.so").exists():
                return folder
    raise PhoneFailed("baresip is not installed: run `make setup`, or install the package baresip-core")
