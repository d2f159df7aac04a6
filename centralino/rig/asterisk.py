"""An Asterisk of our own, started as a child process on free ports of the loopback address."""

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import SecretStr

import asterisk_conf
from asterisk_conf.render import Directories, PhoneAccount, Site, SiteNode, render
from centralino.rig.errors import AsteriskFailed, AsteriskMissing
from centralino.rig.ports import PortRange

OLDEST = (22, 4)
"""The first release of Asterisk 22 that takes requests over ARI's websocket."""

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_LANGUAGES = {"it": "it_IT_m_Carlo", "en": "en_US_f_Allison"}
_CHECKOUT = Path(__file__).resolve().parents[2]


def find_asterisk() -> Path:
    """Find the program to run: $RIG_ASTERISK, else one on the PATH, else the one that `make setup` unpacked.

    Raises AsteriskMissing when none of them is version 22.4 or later.
    """
    candidates = os.environ.get("RIG_ASTERISK"), shutil.which("asterisk"), _CHECKOUT / ".tools/asterisk/asterisk"
    for candidate in candidates:
        if candidate and Path(candidate).is_file() and _version(Path(candidate)) >= OLDEST:
            return Path(candidate)
    raise AsteriskMissing


def _version(program: Path) -> tuple[int, int]:
    answer = subprocess.run([program, "-V"], capture_output=True, text=True, check=False, timeout=20).stdout
    found = re.match(r"Asterisk (?:certified[/-])?(\d+)\.(\d+)", answer)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _installation(program: Path) -> tuple[Path, Path]:
    """Find the folders of an Asterisk's modules and of its data (sounds, music, descriptions of its modules)."""
    for root in (program.parent / "usr", Path("/usr"), Path("/usr/local")):
        modules = next(
            (m for m in sorted(root.glob("lib*/**/asterisk/modules")) if (m / "app_stasis.so").exists()), None
        )
        for data in (root / "share/asterisk", Path("/var/lib/asterisk")):
            if modules and (data / "documentation").is_dir():
                return modules, data
    raise AsteriskFailed(f"The modules and data of {program} were not found: install Asterisk under /usr or /usr/local")


class AsteriskServer:
    """One running Asterisk with Centralino's dialplan, as an async context manager.

    `folder` holds its whole configuration, spool and logs, and may be used again later. Calls come in from any phone
    that does not register (`Phone` without password); `phones` may register. `calls` is how many it can carry at once.
    `sounds` holds the prompts, a folder for each language. `benchmarks` adds Asterisk's own queue (dial 900) and
    voicemail (dial 901). One of several has an address of its own, `host`, and a name, `node`: see `join`.

    Raises AsteriskMissing when there is no Asterisk to run, AsteriskFailed when it does not get ready within 30 s.
    """

    def __init__(
        self,
        folder: Path,
        *,
        phones: Sequence[PhoneAccount] = (),
        language: Literal["it", "en"] = "it",
        stasis_app: str = "centralino",
        workers: bool = False,
        calls: int = 60,
        host: str = "127.0.0.1",
        node: str | None = None,
        benchmarks: bool = False,
        fax_numbers: Sequence[str] = (),
        sounds: Path = Path(asterisk_conf.__file__).parent / "sounds",
    ) -> None:
        self.folder = folder.resolve()
        self.ari_username = "centralino"
        self.ari_password = secrets.token_urlsafe(24)
        self._phones, self._language, self._app = list(phones), language, stasis_app
        self._workers = workers
        self._host, self._node = host, node
        self._fax_numbers = list(fax_numbers)
        self._calls, self._benchmarks, self._sounds = calls, benchmarks, sounds.resolve()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._program = await asyncio.to_thread(find_asterisk)
            # The first ports are for SIP and HTTP; then two calls' legs need four ports each for sound.
            ports = PortRange(20 + 8 * self._calls)
            stack.callback(ports.close)
            # A unix socket's name holds at most 107 characters: the folder's own may be too long.
            run = stack.enter_context(tempfile.TemporaryDirectory(prefix="centralino-"))
            self.site = self._describe(ports, Path(run))
            stack.push_async_callback(self.stop)
            await self.start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def sip_host(self) -> str:
        """The address for phones."""
        return self._host

    @property
    def sip_port(self) -> int:
        """The UDP port for phones."""
        return self.site.sip_port

    @property
    def ari_url(self) -> str:
        """ARI's address; the browser phones' websocket is `/ws` on the same port."""
        return f"http://{self._host}:{self.site.http_port}/ari"

    @property
    def websocket_url(self) -> str:
        """Where browser phones register."""
        return f"ws://{self._host}:{self.site.http_port}/ws"

    @property
    def recording_spool(self) -> Path:
        """The folder where ARI's recordings appear."""
        return self.folder / "spool/recording"

    @property
    def fallback_spool(self) -> Path:
        """The folder where the dialplan records messages when the service does not answer."""
        return self.site.fallback_spool

    @property
    def call_records(self) -> Path:
        """The file of its own records of calls."""
        return self.folder / "log/cel-custom/centralino.csv"

    def password_of(self, name: str) -> str:
        """Give the password of one of the phones. Raises KeyError when there is no such phone."""
        return {phone.name: phone.password.get_secret_value() for phone in self._phones if phone.password}[name]

    @property
    def log_file(self) -> Path:
        """Asterisk's own log."""
        return self.folder / "log/messages.log"

    @property
    def pid(self) -> int:
        """The number of the running process. Raises AsteriskFailed when there is none."""
        if self._process is None or self._process.returncode is not None:
            raise AsteriskFailed("Asterisk is not running: " + self._log_tail())
        return self._process.pid

    async def start(self) -> None:
        """Start it again, after `stop` or `kill`, on the same ports; returns when it takes calls."""
        assert self._process is None  # noqa: S101  # a programming error: it is running
        await asyncio.to_thread(render, self.folder / "etc", self.site)
        with (self.folder / "log/output.log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                # However this program ends, Asterisk ends with it.
                *("setpriv", "--pdeathsig", "KILL"),
                *(str(self._program), "-C", str(self.folder / "etc/asterisk.conf"), "-f", "-n"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A Ctrl-C in the terminal is for us; Asterisk then ends in its turn.
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._ready()
        except TimeoutError:
            await self.kill()
            raise AsteriskFailed(f"Asterisk was not ready within {_START_SECONDS:.0f} s: {self._log_tail()}") from None

    async def _ready(self) -> None:
        while True:
            self.pid  # noqa: B018  # tells why when it has ended
            with contextlib.suppress(AsteriskFailed):
                await self.cli("core waitfullybooted")
                return
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End it in good order, hanging up what is left; does nothing when it is not running."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            pass
        await self.kill()

    async def kill(self) -> None:
        """End it as a power cut would, at once and with everything it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._process = None

    async def restart(self) -> None:
        """Stop and start it."""
        await self.stop()
        await self.start()

    async def cli(self, command: str) -> str:
        """Run one command of Asterisk's command line and give its output. Raises AsteriskFailed when it is refused."""
        process = await asyncio.create_subprocess_exec(
            *(str(self._program), "-C", str(self.folder / "etc/asterisk.conf"), "-rx", command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        answer = output.decode(errors="replace")
        if process.returncode:
            raise AsteriskFailed(f"Asterisk refused `{command}`: {answer.strip()}")
        return answer

    async def join(self, nodes: Sequence["AsteriskServer"]) -> None:
        """Make it one of several, itself among them: agents at one are reached from all."""
        others = [SiteNode(name=str(one._node), host=f"{one.sip_host}:{one.sip_port}") for one in nodes]
        self.site = self.site.model_copy(update={"nodes": others})
        await asyncio.to_thread(render, self.folder / "etc", self.site)
        for module in ("res_pjsip.so", "res_pjsip_endpoint_identifier_ip.so", "pbx_config.so"):
            await self.cli(f"module reload {module}")

    async def channel_names(self) -> list[str]:
        """Name the channels that exist now."""
        lines = (await self.cli("core show channels concise")).splitlines()
        return [line.split("!")[0] for line in lines if "!" in line]

    def _describe(self, ports: PortRange, run: Path) -> Site:
        modules, data = _installation(self._program)
        for name in ("etc", "var/keys", "spool/recording", "spool/fallback", "log/cel-custom", "data"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        _link_data(data, self._sounds, self.folder / "data")
        return Site(
            bind=IPv4Address(self._host),
            node=self._node,
            sip_port=ports.first,
            http_port=ports.first + 1,
            rtp_first=ports.first + 20,
            rtp_last=ports.last,
            ari_username=self.ari_username,
            ari_password=SecretStr(self.ari_password),
            stasis_app=self._app,
            workers=self._workers,
            language=self._language,
            fallback_spool=self.folder / "spool/fallback",
            phones=self._phones,
            fax_numbers=self._fax_numbers,
            anonymous_calls=True,
            benchmarks=self._benchmarks,
            private=Directories(
                etc=self.folder / "etc",
                modules=modules,
                data=self.folder / "data",
                var=self.folder / "var",
                spool=self.folder / "spool",
                log=self.folder / "log",
                run=run,
            ),
        )

    def _log_tail(self) -> str:
        lines: list[str] = []
        for name in ("output.log", "messages.log"):
            with contextlib.suppress(OSError):
                lines += (self.folder / "log" / name).read_text(errors="replace").splitlines()[-15:]
        return "\n".join(["", *lines, f"(more in {self.folder / 'log'})"])


def _link_data(installed: Path, prompts: Path, data: Path) -> None:
    """Make `data` look like Asterisk's installed data with our own sounds added to it."""
    links = {data / entry.name: entry for entry in installed.iterdir() if entry.name != "sounds"}
    sounds = data / "sounds"
    sounds.mkdir(exist_ok=True)
    links |= {sounds / short: installed / "sounds" / name for short, name in _LANGUAGES.items()}
    links[sounds / "centralino"] = prompts
    for link, target in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)
