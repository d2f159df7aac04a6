"""`make chaos ARGS=outage`: the service is down under calls, and what the dialplan recorded meanwhile becomes of it.

Both workers are killed (SIGKILL). Callers call on at a steady rate: they leave messages, hang up in the greeting, or
say nothing. The workers come back while the last callers still speak. What happened is told by Asterisk's own records
(CEL), read here from their file: each call in them is compared with rows, requests and audio files.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.orm import Session

import asterisk_conf
from benchmarks import callers
from benchmarks.callers import SOUND, a_law
from benchmarks.pool import WORKERS, ledger_complete, pool
from benchmarks.site import MESSAGES, SPEECH, site_calls
from benchmarks.soak import tracebacks
from benchmarks.tables import verdict
from centralino.rig.audio import seconds
from centralino.rig.postgres import PostgresServer
from centralino.rig.world import TIMEZONE, WEEKDAYS, ServiceProcess, World, closed_today
from ivr import ledger
from ivr.call_records import parse_event
from ivr.models import Call, Outcome
from schedules.clock import utc_now
from tickets.models import Request
from voicemail.audio import read_samples
from voicemail.models import Message, MessageState

OPEN, CLOSED = "805", "806"
"""Lines that are always open, and closed today; the second opens tomorrow."""
OPENS, CLOSES = time_of_day(8), time_of_day(18)
SOUNDS = Path(asterisk_conf.__file__).parent / "sounds/it"
BEFORE_WORDS = 0.5 + seconds(SOUNDS / "fallback-greeting.wav") + seconds(SOUNDS / "beep.wav") + 0.5
"""From the answer on, as the dialplan does it, and half a second more (s)."""
WORDS = 6.0
"""So long a message is (s)."""
SILENCE = b"\xd5"
"""A sample of nothing in A-law."""

MOST_APART = 1.0
"""Between the time of a request and that of its call (s)."""
MOST_CUT = 0.3
"""What may be missing of a message, of the time from the beginning of the recording to the hangup (s)."""


@dataclass(frozen=True)
class Plan:
    """How long the service is down (s), and how many calls a second there are."""

    down: float
    rate: float


FULL = Plan(600, 2.0)
QUICK = Plan(60, 2.0)


@dataclass(frozen=True)
class Way:
    """How some of the callers behave: `share` of all, on a line; they hang up `holds` (s) after the answer."""

    name: str
    share: float
    line: str
    holds: float
    words: float
    outcome: Outcome
    """How their calls end."""


WAYS = (
    Way("message, desk open", 0.3, OPEN, BEFORE_WORDS + WORDS + 0.5, WORDS, Outcome.FALLBACK),
    Way("message, desk closed", 0.3, CLOSED, BEFORE_WORDS + WORDS + 0.5, WORDS, Outcome.FALLBACK),
    Way("hanging up in the greeting", 0.2, OPEN, 6.0, 0.0, Outcome.ABANDONED_FALLBACK),
    Way("saying nothing", 0.2, CLOSED, BEFORE_WORDS + 4.0, 0.0, Outcome.ABANDONED_FALLBACK),
)
CAUGHT = "speaking as the workers die"
CAUGHT_CALLS = 10


@dataclass
class Told:
    """What Asterisk's records tell of one call."""

    caller: str | None = None
    began: datetime | None = None
    recording: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True)
class Kept:
    """What the service has of one call."""

    call_id: str
    line: str
    outcome: Outcome | None
    message: MessageState | None
    seconds: float | None
    """Of audio in the file that is kept."""
    received: Sequence[datetime]
    """Of each of its requests."""
    due: Sequence[datetime | None]


@dataclass
class Found:
    """What became of the callers of one way; all but the first three should be zero."""

    calls: int = 0
    recorded: int = 0
    requests: int = 0
    failed: int = 0
    """Calls that did not come about, or ended otherwise than the caller wanted."""
    lost: int = 0
    """Messages without a request."""
    double: int = 0
    """Requests or rows too many."""
    without_row: int = 0
    wrong_outcome: int = 0
    wrong_time: int = 0
    wrong_promise: int = 0
    cut: int = 0
    apart: list[float] = field(default_factory=list)
    """From each call to the time of its request (s)."""
    missing: list[float] = field(default_factory=list)
    """What is missing of each message (s)."""


Case = tuple[Told, Sequence[Kept]]
"""A call as Asterisk tells it, and the rows of it."""

HARM = ("failed", "lost", "double", "without_row", "wrong_outcome", "wrong_time", "wrong_promise", "cut")
WHOLE = ("rows_without_call", "ledger_differences", "files_left", "channels_left", "tracebacks")
"""What should be zero of the whole."""


def promised(line: str, received: datetime, closed: int) -> datetime:
    """By when a request is to be taken in charge: one hour of the desk's time, reckoned day by day.

    `closed` is the weekday (Monday is 0) on which the line CLOSED does not open. It has no hours at which the clocks
    change, so that wall clocks may be reckoned with.
    """
    left = timedelta(hours=1)
    if line != CLOSED:
        return received + left
    at = received.astimezone(TIMEZONE).replace(tzinfo=None)
    while True:
        begin, end = (datetime.combine(at.date(), hour) for hour in (OPENS, CLOSES))
        begin = max(begin, at)
        if at.weekday() != closed and begin < end:
            if begin + left <= end:
                return (begin + left).replace(tzinfo=TIMEZONE)
            left -= end - begin
        at = datetime.combine(at.date() + timedelta(days=1), time_of_day())


def told_by(lines: Iterable[str]) -> dict[str, Told]:
    """What Asterisk's records tell of each channel from outside."""
    found: dict[str, Told] = {}
    for line in filter(None, lines):
        event = parse_event(line)
        if event is None:
            continue
        told = found.setdefault(event.channel_id, Told())
        told.caller = event.caller or told.caller
        match event.kind:
            case "reached":
                told.began = min(told.began or event.at, event.at)
            case "recording":
                told.recording = event.at
            case "ended":
                told.ended = event.at
    return found


def kept(session: Session, audio: Path) -> dict[str, list[Kept]]:
    """What the service has, by channel."""
    requests: dict[str, list[Request]] = {}
    for request in session.scalars(select(Request)):
        requests.setdefault(str(request.call_id), []).append(request)
    found: dict[str, list[Kept]] = {}
    for call, message in session.execute(select(Call, Message).outerjoin(Message, Message.call_id == Call.id)):
        length = None if message is None or message.audio is None else read_samples(audio / message.audio)[0].seconds
        of_call = requests.get(call.id, ())
        found.setdefault(call.channel_id, []).append(
            Kept(
                call.id,
                call.line,
                call.outcome,
                None if message is None else message.state,
                length,
                [request.received_at for request in of_call],
                [request.pickup_due_at for request in of_call],
            )
        )
    return found


def judge(way: Way, calls: Collection[Case], closed: int) -> Found:
    """Compare each call of a way with what the service has of it; `closed` as in `promised`."""
    found = Found(calls=len(calls))
    for told, rows in calls:
        row = _only_row(found, told, rows)
        if row is None:
            continue
        found.wrong_outcome += row.outcome is not way.outcome
        if not way.words:
            found.double += len(row.received)
        elif told.recording is None or told.began is None or told.ended is None:
            found.failed += 1
        else:
            found.lost += not row.received or row.seconds is None
            found.apart += [(received - told.began).total_seconds() for received in row.received]
            if row.seconds is not None:
                found.missing.append((told.ended - told.recording).total_seconds() - row.seconds)
        found.wrong_promise += _wrong_promises(row, way.line, closed)
    found.wrong_time = sum(abs(apart) > MOST_APART for apart in found.apart)
    found.cut = sum(missing > MOST_CUT for missing in found.missing)
    return found


def judge_caught(calls: Collection[Case], closed: int) -> Found:
    """The same of calls that the workers had in hand when they died: what had begun to be recorded is a request."""
    found = Found(calls=len(calls))
    for told, rows in calls:
        row = _only_row(found, told, rows)
        if row is None:
            continue
        found.lost += row.message is not None and not row.received
        found.wrong_outcome += row.outcome is None or (row.outcome is Outcome.VOICEMAIL) is not bool(row.received)
        began, ended = told.began, told.ended
        found.wrong_time += (
            began is None or ended is None or any(not began <= received <= ended for received in row.received)
        )
        found.wrong_promise += _wrong_promises(row, MESSAGES, closed)
    return found


def _only_row(found: Found, told: Told, rows: Sequence[Kept]) -> Kept | None:
    """The one row of a call, counted."""
    if not rows:
        found.without_row += 1
        return None
    found.recorded += told.recording is not None or rows[0].message is not None
    found.requests += len(rows[0].received)
    found.double += len(rows) - 1 + max(len(rows[0].received) - 1, 0)
    return rows[0]


def _wrong_promises(row: Kept, line: str, closed: int) -> int:
    return sum(due != promised(line, received, closed) for received, due in zip(row.received, row.due, strict=True))


def lines(now: datetime) -> dict[str, Any]:
    """The `calls` section of the settings."""
    calls = site_calls()
    calls["calendars"]["oggi chiuso"] = closed_today(now)
    [silent] = [line for line in calls["lines"] if line["number"] == MESSAGES]
    calls["lines"] += [silent | {"number": OPEN}, silent | {"number": CLOSED, "calendar": "oggi chiuso"}]
    return calls


async def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Call, show the table, and give the figures; `failed` tells whether anything was lost or wrong."""
    calls = lines(utc_now())
    [closed] = [number for number, day in enumerate(WEEKDAYS) if day not in calls["calendars"]["oggi chiuso"]["weekly"]]
    console.print("Starting Asterisk, two workers and the desk ...")
    with PostgresServer() as server:
        async with pool(folder, server.create_database("outage"), calls) as (world, processes):
            called, back = await _call_while_down(world, [processes[name] for name in WORKERS], plan, console)
            await world.until_quiet(within=60)
            filed_after = await _all_filed(world) - back
            await world.until(ledger_complete, within=180)
            told = told_by(world.asterisk.call_records.read_text(errors="replace").splitlines())
            has = await world.read(kept, world.settings.storage.audio)
            unexplained = await world.read(_unexplained)
            aside = world.settings.storage.audio / "unusable"
            figures: dict[str, Any] = {
                "down_seconds": plan.down,
                "rate": plan.rate,
                "filed_seconds_after_return": round(filed_after, 1),
                "rows_without_call": len(has.keys() - told.keys()),
                "ledger_differences": len(unexplained),
                "files_left": len(list(world.asterisk.recording_spool.glob("*.wav"))) + len(list(aside.glob("*"))),
                "channels_left": len(await world.asterisk.channel_names()),
                "tracebacks": sum(len(tracebacks(process.log())) for process in processes.values()),
            }
    by_caller = {one.caller: (one, has.get(channel, ())) for channel, one in told.items()}
    result: dict[str, Found] = {}
    for name, of in called.items():
        cases = [by_caller[caller] for caller in of.sent if caller in by_caller]
        way = next((way for way in WAYS if way.name == name), None)
        result[name] = found = judge_caught(cases, closed) if way is None else judge(way, cases, closed)
        found.calls = of.asked
        found.failed += of.asked - min(of.completed, len(cases))
    console.print(_table(result, plan))
    for name in (*WHOLE, "filed_seconds_after_return"):
        console.print(verdict(name not in WHOLE or not figures[name], f"{name.replace('_', ' ')}: {figures[name]}"))
    for why in sorted(unexplained)[:5]:
        console.print(f"  {why}", markup=False)
    harmed = any(getattr(found, name) for found in result.values() for name in HARM)
    return {
        **figures,
        "ways": {name: asdict(found) for name, found in result.items()},
        "failed": harmed or any(figures[name] for name in WHOLE),
    }


async def _call_while_down(
    world: World, workers: Sequence[ServiceProcess], plan: Plan, console: Console
) -> tuple[dict[str, callers.Called], float]:
    """Kill the workers, call, and start them again; gives the calls of each way, and when the workers were back."""
    work = world.folder / "callers"
    work.mkdir()
    speech = a_law(SPEECH, work / SOUND, WORDS).read_bytes()
    for way in WAYS:
        words = SILENCE * round(BEFORE_WORDS * 8000) + speech if way.words else b""
        (work / _sound(way)).write_bytes(words.ljust(round(way.holds * 8000), SILENCE))
    caught = asyncio.create_task(
        callers.call("message", MESSAGES, world.asterisk.sip_port, work, count=CAUGHT_CALLS, rate=10)
    )
    await asyncio.sleep(2.0)
    for process in workers:
        await process.kill()
    console.print(f"Both workers are dead, for {plan.down:.0f} s.")
    calling = [asyncio.create_task(_call(world, work, way, plan)) for way in WAYS]
    await asyncio.sleep(plan.down)
    for process in workers:
        await process.start()
        await process.in_service()
    back = time.monotonic()
    console.print("Both are back.")
    called = dict(zip((way.name for way in WAYS), await asyncio.gather(*calling), strict=True))
    return {CAUGHT: await caught, **called}, back


def _unexplained(session: Session) -> list[str]:
    return [found.why for found in ledger.differences(session) if not found.explained]


async def _all_filed(world: World) -> float:
    """Wait until nothing that was recorded is left to be filed; gives when that was (time.monotonic())."""
    async with asyncio.timeout(600):
        while list(world.asterisk.fallback_spool.glob("*.wav")):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)
    await world.until(_none_recording, within=60)
    return time.monotonic()


def _none_recording(session: Session) -> bool:
    return session.scalar(select(Message.id).where(Message.state == MessageState.RECORDING).limit(1)) is None


def _table(result: Mapping[str, Found], plan: Plan) -> Table:
    table = Table(title=f"Both workers dead for {plan.down:.0f} s, {plan.rate:g} calls a second: what became of each")
    for number, name in enumerate(("callers", "calls", "recorded", "requests", *HARM, "time apart, s", "missing, s")):
        table.add_column(name.replace("_", " "), justify="right" if number else "left")
    for name, found in result.items():
        harm = (verdict(not getattr(found, what), str(getattr(found, what))) for what in HARM)
        table.add_row(
            *(name, str(found.calls), str(found.recorded), str(found.requests), *harm),
            *(_range(found.apart), _range(found.missing)),
        )
    return table


def _range(values: Collection[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}" if values else ""


def _sound(way: Way) -> str:
    return f"{WAYS.index(way)}.alaw"


async def _call(world: World, work: Path, way: Way, plan: Plan) -> callers.Called:
    rate = plan.rate * way.share
    return await callers.call(
        "message",
        way.line,
        world.asterisk.sip_port,
        work,
        count=round(plan.down * rate),
        rate=rate,
        patience=plan.down + way.holds + 60,
        sound=_sound(way),
        holds=way.holds,
    )
