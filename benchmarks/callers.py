"""The callers: SIPp, with the time of each message it sent."""

import asyncio
import contextlib
import csv
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from centralino.rig.audio import read_samples
from centralino.rig.ports import PortRange

SCENARIOS = Path(__file__).parent
SOUND = "speech.alaw"
"""What callers of the scenario `message` say, in the folder of the callers."""
HOLDS = 4.2
"""So long (s) they stay from the answer on."""
_numbers = itertools.count(1)


class SippMissing(RuntimeError):
    """SIPp was not found: run `make bench`, or install the package sip-tester."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass
class Called:
    """What became of a row of calls; `sent` and `hung_up` are time.time() of the INVITE and BYE, by caller's number."""

    asked: int
    completed: int
    sent: dict[str, float] = field(default_factory=dict)
    hung_up: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Calls a second, as they were really begun; 0 of fewer than two."""
        moments = self.sent.values()
        span = max(moments, default=0.0) - min(moments, default=0.0)
        return (len(moments) - 1) / span if span else 0.0


def a_law(speech: Path, target: Path, seconds: float) -> Path:
    """Write the beginning of a WAV as the bare A-law that SIPp sends."""
    samples = (read_samples(speech)[: int(seconds * 8000)] * 32767).astype(np.int32) >> 3
    size = np.where(samples >= 0, samples, -samples - 1)
    segment = np.searchsorted([0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF], size)
    code = ((segment << 4) | ((size >> np.maximum(segment, 1)) & 15)) ^ np.where(samples >= 0, 0xD5, 0x55)
    target.write_bytes(code.astype(np.uint8).tobytes())
    return target


async def call(
    scenario: str,
    number: str,
    sip_port: int,
    folder: Path,
    *,
    count: int,
    rate: float,
    together: int = 1000,
    patience: float = 60.0,
    longest: float = 40.0,
    numbers: Sequence[str] | None = None,
    sound_port: int | None = None,
    sound: str = SOUND,
    holds: float = HOLDS,
) -> Called:
    """Call a number `count` times, `rate` a second, at most `together` at once; each call has a caller of its own.

    A call that lasts longer than `longest` (s) has failed; all are given up `patience` (s) after the first. `numbers`
    are the callers' (E.164), at least `count` of them; None: numbers that nobody has used. With a `sound_port` somebody
    else hears and speaks for them there (`benchmarks.sound`); None: SIPp does. Callers of `message` say the file
    `sound` in the folder, and hang up `holds` (s) after the answer.

    Raises SippMissing, and RuntimeError when SIPp itself fails.
    """
    program = shutil.which("sipp")
    if program is None:
        raise SippMissing
    run = next(_numbers)
    work = folder / f"sipp-{run}"
    work.mkdir(parents=True)
    callers = list(numbers or (f"+39080{run:03d}{index:04d}" for index in range(1, count + 1)))[:count]
    text = (SCENARIOS / f"{scenario}.xml").read_text()
    text = text.replace(f'"{HOLDS * 1000:.0f}"', f'"{holds * 1000:.0f}"')
    (work / "scenario.xml").write_text(text if sound_port is None else _elsewhere(text, sound_port))
    (work / "callers.csv").write_text("SEQUENTIAL\n" + "".join(f"{caller};\n" for caller in callers))
    (work / SOUND).symlink_to(folder / sound)
    with contextlib.closing(PortRange(60)) as ports:
        process = await asyncio.create_subprocess_exec(
            *(program, "-sf", "scenario.xml", f"127.0.0.1:{sip_port}", "-s", number),
            *("-inf", "callers.csv", "-r", str(rate), "-m", str(count), "-l", str(together)),
            *("-i", "127.0.0.1", "-p", str(ports.first + 1), "-mi", "127.0.0.1", "-mp", str(ports.first + 10)),
            *("-cid_str", "%u-bench@127.0.0.1", "-trace_shortmsg", "-shortmessage_file", "messages.csv"),
            *("-trace_stat", "-stf", "statistics.csv", "-trace_err", "-error_file", "errors.log"),
            *(
                "-nostdin",
                "-recv_timeout",
                str(int(longest * 1000)),
                "-timeout",
                str(int(patience)),
                "-buff_size",
                "2000000",
            ),
            cwd=work,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"TERM": "dumb"},
        )
        try:
            async with asyncio.timeout(patience + 20):
                _, complaint = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
    # 1: at least one call failed, or SIPp itself did before it wrote anything; 97: patience is over
    if process.returncode not in (0, 1, 97, 99) or not (work / "statistics.csv").exists():
        raise RuntimeError(f"sipp ended with {process.returncode}: {complaint.decode(errors='replace')[-500:]}")
    called = Called(count, _completed(work / "statistics.csv"))
    _read_times(work / "messages.csv", callers, called)
    return called


def _elsewhere(scenario: str, sound_port: int) -> str:
    """The same scenario without SIPp's sound: it is at another port."""
    lines = [line for line in scenario.splitlines() if "rtp_stream=" not in line]
    return "\n".join(lines).replace("[rtpstream_audio_port]", str(sound_port))


def _completed(statistics: Path) -> int:
    with statistics.open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    return int(rows[-1]["SuccessfulCall(C)"])


def _read_times(messages: Path, callers: list[str], called: Called) -> None:
    for line in messages.read_text(errors="replace").splitlines():
        columns = line.split("\t")
        if len(columns) < 5 or "S" not in columns[:4]:
            continue
        moment = next((float(c) for c in columns[:3] if c.replace(".", "").isdigit() and "." in c), None)
        found = next((c for c in columns if c.endswith("-bench@127.0.0.1")), None)
        if moment is None or found is None:
            continue
        caller = callers[int(found.partition("-")[0]) - 1]
        if "INVITE sip:" in line:
            called.sent.setdefault(caller, moment)
        elif "BYE sip:" in line:
            called.hung_up.setdefault(caller, moment)
