"""A fax machine: a second Asterisk that calls and sends pages, and pages to send."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from PIL import Image, ImageDraw

from centralino.rig.asterisk import AsteriskServer

WIDTH, HEIGHT = 1728, 2200
"""Dots of a sheet of A4 (ITU-T T.4, fine)."""


def write_pages(path: Path, *words: str, noise: bool = False) -> Path:
    """Pages with some words each, as fax machines scan them; with `noise` they take half a minute each to send."""
    sheets = []
    for text in words:
        sheet = Image.effect_noise((WIDTH, HEIGHT), 120).convert("1") if noise else Image.new("1", (WIDTH, HEIGHT), 1)
        ImageDraw.Draw(sheet).multiline_text((150, 150), text, fill=0, font_size=70)
        sheets.append(sheet)
    sheets[0].save(path, save_all=True, append_images=sheets[1:], compression="group4", dpi=(204, 196))
    return path


class FaxMachine:
    """Calls from `number` and calls itself `station`. Use as `async with`."""

    def __init__(self, folder: Path, to: AsteriskServer, *, number: str, station: str) -> None:
        self._to, self._number, self._station = to, number, station
        self._server = AsteriskServer(folder, calls=4)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._server)
            etc = self._server.folder / "etc"
            with (etc / "pjsip.conf").open("a", encoding="utf-8") as file:
                file.write(
                    f"\n[fax-out]\ntype=endpoint\ncontext=fax-out\ndisallow=all\nallow=alaw\nfrom_user={self._number}\n"
                    f"aors=fax-out\n[fax-out]\ntype=aor\ncontact=sip:{self._to.sip_host}:{self._to.sip_port}\n"
                )
            with (etc / "extensions.conf").open("a", encoding="utf-8") as file:
                file.write(
                    f"\n[fax-out]\nexten => _page.,1,Set(FAXOPT(localstationid)={self._station})\n"
                    f" same => n,SendFAX({self._server.folder}/${{EXTEN:4}}.tif,F)\n same => n,Hangup()\n"
                )
            await self._server.cli("module reload res_pjsip.so")
            await self._server.cli("module reload pbx_config.so")
            await self._server.cli("module load res_clioriginate.so")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def send(self, number: str, words: Sequence[str], *, noise: bool = False) -> Path:
        """Dial and send pages; returns while it dials, with the file that is sent."""
        sent = len(list(self._server.folder.glob("*.tif")))
        pages = write_pages(self._server.folder / f"{sent + 1}.tif", *words, noise=noise)
        await self._server.cli(f"channel originate PJSIP/{number}@fax-out extension page{pages.stem}@fax-out")
        return pages

    async def hang_up(self) -> None:
        """Pull the plug of the telephone line."""
        await self._server.cli("channel request hangup all")

    async def busy(self) -> bool:
        """Whether it is in a call."""
        return bool(await self._server.channel_names())
