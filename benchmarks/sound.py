"""Sound both ways in every call, and proof of each packet that arrived, without a real voice.

The agents speak: each call under way sends a packet of 160 bytes of A-law every 20 ms to Asterisk. The callers' end
sends back what it hears. A packet bears the number of its call and when it was sent, so that both ends know what came
through; nothing between them re-codes it, since both speak A-law.
"""

import asyncio
import contextlib
import socket
import struct
import time
from array import array
from dataclasses import dataclass, field

PACKET_SECONDS = 0.02
_HEAD = struct.Struct("!BBHII")
"""RTP (RFC 3550, 5.1): version, payload type 8 (A-law), sequence number, time stamp, source."""
_MARK = struct.Struct("!4sId")
_MAGIC, _SILENCE = b"BNCH", b"\xd5"
_BUFFER_BYTES = 2**22
_AT_ONCE = 256
"""Packets read before anything else has its turn."""


@dataclass(slots=True)
class Voice:
    """One call's sound, in packets: sent by the agent, heard by the caller, heard by the agent when it came back."""

    target: tuple[str, int]
    sent: int = 0
    heard_by_caller: int = 0
    heard_by_agent: int = 0


@dataclass
class Sound:
    """The two sockets on which all agents and all callers hear; `turn_on` makes them speak.

    While it is off both only exist: what is sent there is thrown away by the kernel, which costs nobody anything.
    """

    voices: dict[int, Voice] = field(default_factory=dict)
    """Of all calls since `turn_on`, by number."""
    round_trips: "array[float]" = field(default_factory=lambda: array("d"))
    """Of each packet, agent to caller and back, in ms; it passes Asterisk twice."""

    def __post_init__(self) -> None:
        self._agents, self._callers = _bound(), _bound()
        self._speaking: dict[str, int] = {}
        self._ticking: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Silence for good."""
        self.turn_off()
        self._agents.close()
        self._callers.close()

    @property
    def agent_port(self) -> int:
        """Where agents hear (UDP)."""
        return int(self._agents.getsockname()[1])

    @property
    def caller_port(self) -> int:
        """Where callers hear (UDP)."""
        return int(self._callers.getsockname()[1])

    def turn_on(self) -> None:
        """From now on every call has sound; what was counted before is forgotten."""
        self.turn_off()
        self.voices, self.round_trips = {}, array("d")
        loop = asyncio.get_running_loop()
        loop.add_reader(self._agents, self._hear_as_agent)
        loop.add_reader(self._callers, self._hear_as_caller)
        self._ticking = loop.create_task(self._speak())

    def turn_off(self) -> None:
        """Silence."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._agents)
            loop.remove_reader(self._callers)
        self._speaking.clear()

    def begin(self, call_id: str, target: tuple[str, int]) -> None:
        """An agent has answered; `target` is where Asterisk hears the agent."""
        if self._ticking is not None:
            number = len(self.voices) + 1
            self.voices[number] = Voice(target)
            self._speaking[call_id] = number

    def end(self, call_id: str) -> None:
        """The call is over, or about to be: nothing more is sent."""
        self._speaking.pop(call_id, None)

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            for number in self._speaking.values():
                voice = self.voices[number]
                count = voice.sent
                head = _HEAD.pack(0x80, 8, count & 0xFFFF, (count * 160) & 0xFFFFFFFF, number)
                packet = head + _MARK.pack(_MAGIC, number, time.monotonic())
                _send(self._agents, packet.ljust(_HEAD.size + 160, _SILENCE), voice.target)
                voice.sent += 1
            due += PACKET_SECONDS
            await asyncio.sleep(due - loop.time())

    def _hear_as_caller(self) -> None:
        for packet, source, voice, _ in self._heard(self._callers):
            voice.heard_by_caller += 1
            _send(self._callers, packet, source)

    def _hear_as_agent(self) -> None:
        now = time.monotonic()
        for _, _, voice, sent_at in self._heard(self._agents):
            voice.heard_by_agent += 1
            self.round_trips.append((now - sent_at) * 1000)

    def _heard(self, ear: socket.socket) -> list[tuple[bytes, tuple[str, int], Voice, float]]:
        found = []
        for _ in range(_AT_ONCE):
            try:
                packet, source = ear.recvfrom(2048)
            except OSError:  # nothing more for now, or Asterisk has closed the port we sent to
                break
            if len(packet) >= _HEAD.size + _MARK.size and packet[_HEAD.size :].startswith(_MAGIC):
                _, number, sent_at = _MARK.unpack_from(packet, _HEAD.size)
                if (voice := self.voices.get(number)) is not None:
                    found.append((packet, source, voice, sent_at))
        return found


def _bound() -> socket.socket:
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    ear.setblocking(False)
    ear.bind(("127.0.0.1", 0))
    return ear


def _send(mouth: socket.socket, packet: bytes, target: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):  # Asterisk has closed the port; the call's end is on its way to us
        mouth.sendto(packet, target)
