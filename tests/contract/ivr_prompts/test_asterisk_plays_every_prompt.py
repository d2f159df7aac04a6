"""A real Asterisk finds and opens every prompt. Each is stopped as soon as it begins: all of them last 13 minutes."""

import json
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import ClientConnection, connect

from centralino.rig.asterisk import AsteriskServer
from ivr.prompts import Prompts, media

pytestmark = pytest.mark.contract

APP = "prompt-check"


class Player:
    """One channel of a real Asterisk that plays what it is told, over ARI's websocket."""

    def __init__(self, server: AsteriskServer, socket: ClientConnection) -> None:
        self._server, self._socket = server, socket
        self._channel = str(uuid.uuid4())

    async def start(self) -> None:
        # No service is connected, so the fallback answers the other half of this channel.
        await self._send("POST", f"channels/{self._channel}", endpoint="Local/100@centralino-inbound", app=APP)
        await self._next("StasisStart")

    async def play_and_stop(self, uri: str) -> None:
        playback = str(uuid.uuid4())
        await self._send("POST", f"channels/{self._channel}/play/{playback}", media=uri)
        event = await self._next("PlaybackStarted", "PlaybackFinished")
        while event["type"] != "PlaybackFinished":
            # Asterisk says "started" a moment before it opens the file, and until then answers 500 to a stop.
            await self._send("DELETE", f"playbacks/{playback}")
            event = await self._next("RESTResponse", "PlaybackFinished")

    def not_found(self) -> set[str]:
        """The sounds that Asterisk's log says it could not find or open; no event of ARI tells it."""
        log = self._server.log_file.read_text(errors="replace")
        return set(re.findall(r"(?:File|Unable to open) (\S+) (?:does not exist|\(format)", log))

    async def _send(self, method: str, uri: str, **query: str) -> None:
        request = {"type": "RESTRequest", "request_id": str(uuid.uuid4()), "method": method}
        await self._socket.send(json.dumps(request | {"uri": f"{uri}?{urlencode(query)}"}))

    async def _next(self, *kinds: str) -> dict[str, Any]:
        async for message in self._socket:
            event: dict[str, Any] = json.loads(message)
            if event["type"] in kinds:
                return event
        raise AssertionError("Asterisk closed the connection")


@pytest.fixture
async def player(tmp_path: Path) -> AsyncIterator[Player]:
    async with AsteriskServer(tmp_path / "asterisk") as server:
        query = {"app": APP, "api_key": f"{server.ari_username}:{server.ari_password}"}
        async with connect(f"{server.ari_url.replace('http', 'ws', 1)}/events?{urlencode(query)}") as socket:
            player = Player(server, socket)
            await player.start()
            yield player


async def test_asterisk_finds_and_opens_every_prompt(player: Player) -> None:
    for prompt in Prompts():
        await player.play_and_stop(media(prompt.name, prompt.language))
    await player.play_and_stop(media("no-such-prompt", "it"))

    assert player.not_found() == {"centralino/it/no-such-prompt"}  # so a missing one would have been noticed
