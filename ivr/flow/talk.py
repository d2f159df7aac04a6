"""Caller and agent talk in a bridge, until one of them leaves or the call is transferred."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from ivr import browser_phones, operations
from ivr.ari import AriConnectionError, AriError, AriRefused, AriTimeout, Conflict, Hangup
from ivr.config import OUTSIDE_NUMBER
from ivr.errors import CommandRefused
from ivr.flow.call import ActiveCall, Command
from ivr.flow.leg import Leg
from ivr.flow.listen import listen
from ivr.flow.ring import ring
from ivr.models import Offer, OfferResult, Outcome, Phase
from tickets.models import SYNTHETIC

log = structlog.get_logger()

T = TypeVar("T")
AGENT_ID = re.compile(r"[0-9]{1,9}")
OURS = "centralino-"
"""Every channel and bridge we make is named with this prefix."""
OUTSIDE = f"{OURS}out-"
"""So are channels to outside numbers; then the Stasis application, a dot, and a random part. No row knows them."""
_OUR_CHANNEL = re.compile(rf"{OURS}[0-9a-f]{{20}}|{OUTSIDE}[A-Za-z0-9_-]+\.[0-9a-f]{{16}}")
_OUR_BRIDGE = re.compile(rf"{OURS}([0-9a-f{SYNTHETIC}][0-9a-f]{{31}})")
"""The whole names: an Asterisk whose `systemname` begins like ours names its callers' channels so, too."""
BRIDGE_ATTEMPTS = 20
BRIDGE_PAUSE_SECONDS = 0.02
TRANSFER_PRIORITY = 100
"""A transferred caller has waited before: first in the new line."""


BACK = "back"
"""The kind of a transfer to the agent who lost the phone."""


@dataclass(slots=True)
class Transfer:
    """Where the caller goes next: `agent:<id>`, `queue:<name>`, `number:<digits>` or `back:<id>`."""

    target: str

    @property
    def is_back(self) -> bool:
        """Whether the agent stays with the call."""
        return self.target.startswith(f"{BACK}:")


class Talk:
    """A caller and whoever is in charge of the call, joined by a bridge.

    A third leg is there while the agent has a second call: for a question, or to hand the caller over. Caller and third
    are each in the bridge or hear music outside it, so the agent talks with the one, the other, or both. `offer` is the
    one an agent answered; None when the other end is an outside number.
    """

    def __init__(self, call: ActiveCall, offer: Offer | None, other: Leg) -> None:
        self.call = call
        self.ari = call.services.ari
        self.offer = offer
        self.other = other
        self.bridge_id = bridge_of(call.id)
        self.consulting = self.third_away = self._hung_up_on_page = False
        self._browser_phone: bool | None = None
        """Whether the agent in charge has the phone in the browser; None: not known yet."""
        self.third: Leg | None = None
        self.third_offer: Offer | None = None

    @property
    def on_hold(self) -> bool:
        """Whether the caller hears music."""
        return self.call.on_hold

    async def connect(self) -> bool:
        """Join the two and write it down; False when the other end was gone before. Raises Hangup."""
        self.call.on_hold = False
        try:
            await self._make_bridge()
            # music would go on inside the bridge, instead of the other's voice
            await self.call.leg.stop_music()
            await self._join(self.call.leg, self.other)
        except AriRefused as error:
            # one of them has just gone; its event is on the way and says which
            log.info("not joined", call=self.call.id, error=str(error))
            gone = (self.call.leg.gone, self.other.gone)
            await asyncio.wait(gone, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            await self._give_back()
            self.call.leg.check()
            return False
        except (AriConnectionError, asyncio.CancelledError):
            raise  # what goes on in Asterisk is taken up by the repair
        except BaseException:
            await self._give_back()
            raise
        self.call.phase, self.call.outcome = Phase.TALKING, Outcome.ANSWERED
        try:
            await self._write_in_charge()
        except Exception:
            await self._close(call_goes_on=False)
            raise
        return True

    async def go_on(self) -> Transfer | None:
        """Wait until somebody leaves; returns where the caller is transferred to, or None when the talk is over.

        Raises Hangup when the caller hung up. However it ends, the agents are let go and the bridge is gone; only when
        the connection to Asterisk is lost the talk goes on without us, and is adopted later.
        """
        try:
            ending = await self._converse()
        except (AriConnectionError, asyncio.CancelledError):
            raise  # what goes on in Asterisk is taken up by the repair
        except BaseException:
            await self._close(call_goes_on=False)
            raise
        await self._close(call_goes_on=ending is not None, agent_stays=ending is not None and ending.is_back)
        return ending

    async def _converse(self) -> Transfer | None:
        while True:
            commands = self.call.commands.arrival()
            waits: list[asyncio.Future[Any]] = [commands, self.call.leg.gone, self.other.gone]
            if self.third is not None:
                waits.append(self.third.gone)
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            self.call.leg.check()
            if self.third is not None and self.third.gone.done():
                await self._drop_third()
            elif self.other.gone.done():
                if not self._hung_up_on_page and await self._in_browser():
                    await self._drop_third_if_any()
                    return Transfer(f"{BACK}:{self._agent_id}")
                if self.third is None:
                    if self.other.fell_silent:
                        log.warning("the other end of a talk has died without a goodbye", call=self.call.id)
                        return Transfer(f"queue:{self.call.queue}") if self.call.queue else None
                    # the handset put down with the caller on hold: a slip, so the caller is first in line again
                    slip = self.on_hold and not self._hung_up_on_page
                    return Transfer(f"queue:{self.call.queue}") if slip else None
                await self._hand_over()  # the agent left in the second call: the two others go on
            asked = self.call.commands.take()
            while asked:
                transfer = await self._obey(asked.pop(0))
                if transfer is not None:
                    self.call.commands.put(*asked)  # to be refused
                    return transfer

    # ---------------------------------------------------------------------------------------------------- commands

    async def _obey(self, command: Command) -> Transfer | None:
        transfer = None
        try:
            match command.name:
                case "hold":
                    self._no_third("hold")
                    await self._hold()
                    await self._note()
                case "unhold":
                    self._no_third("going on")
                    await self._unhold()
                    await self._note()
                case "hang_up":
                    self._hung_up_on_page = True
                    await self.other.hang_up()
                case "phone_lost":
                    if not await self._in_browser():
                        raise CommandRefused("only a phone in the browser is lost with its page")
                    await self._drop_third_if_any()
                    transfer = Transfer(f"{BACK}:{self._agent_id}")
                case "blind_transfer":
                    self._no_third("blind transfer")
                    _check_target(self.call, command.target)
                    transfer = Transfer(command.target)
                case "start_attended_transfer":
                    self._no_third("second transfer")
                    _check_target(self.call, command.target)
                    await self._consult(command.target)
                case "complete_transfer":
                    if self.third is None:
                        raise CommandRefused("there is nobody to hand the call over to")
                    await self._hand_over()
                case "cancel_transfer":
                    await self._drop_third()
                case "swap":
                    await self._swap()
                case "join":
                    await self._join_all()
                case "listen":
                    await listen(self.call, self.bridge_id, self.other, command.target)
                case _:
                    raise CommandRefused(f"unknown command {command.name}")
        except (CommandRefused, AriRefused, AriTimeout, Hangup) as error:
            if not command.done.done():
                refused = error if isinstance(error, CommandRefused) else CommandRefused(str(error))
                command.done.set_exception(refused)
            return None
        except BaseException:
            command.done.cancel()
            raise
        if not command.done.done():
            command.done.set_result(None)
        return transfer

    @property
    def _agent_id(self) -> int | None:
        return None if self.offer is None else self.offer.agent_id

    async def _in_browser(self) -> bool:
        """Whether the agent's phone is the one in the browser, where *Hang up* is said to us and not to Asterisk."""
        if self._agent_id is None:
            return False
        if self._browser_phone is None:  # a talk that was adopted
            database = self.call.services.database
            self._browser_phone = await database.read(browser_phones.has_browser_phone, self._agent_id)
        return self._browser_phone

    async def _hold(self) -> None:
        if not self.on_hold:
            await self.ari.bridges.remove(self.bridge_id, [self.call.leg.id])
            await self.call.leg.start_music()
            self.call.on_hold = True

    async def _unhold(self) -> None:
        if self.on_hold:
            await self.call.leg.stop_music()
            await self._join(self.call.leg)
            self.call.on_hold = False

    async def _consult(self, target: str) -> None:
        """A second call, or an attended transfer: the caller hears music while the agent talks to the third."""
        kind, _, name = target.partition(":")
        if kind not in ("agent", "number"):
            raise CommandRefused("only an agent or a number can be asked first")
        await self._hold()
        self.consulting = self.third_away = True
        await self._note()
        try:
            if kind == "agent":
                self.third_offer, self.third = await self._ring_agent(int(name))
            else:
                self.third = await self._unless_cancelled(dial_out(self.call, name))
                if self.third is None:
                    raise CommandRefused("the second call was given up")
        except BaseException:
            self.consulting = self.third_away = False
            if not self.other.gone.done():  # otherwise the caller stays on hold, and is not lost
                await self._unhold()
                await self._note()
            raise
        await self._join(self.third)
        self.third_away = False
        await self._note(self.third_offer)

    async def _swap(self) -> None:
        """The agent talks with the other of the two, and the one before hears music; of three, the caller does."""
        third = self._second_call()
        if self.on_hold:
            await self.ari.bridges.remove(self.bridge_id, [third.id])
            self.third_away = True
            await third.start_music()
            await self._unhold()
        else:
            await self._hold()
            await self._take_back(third)
        await self._note()

    async def _join_all(self) -> None:
        """All three talk with each other."""
        await self._take_back(self._second_call())
        await self._unhold()
        await self._note()

    async def _take_back(self, third: Leg) -> None:
        """The third is in the talk (again)."""
        if self.third_away:
            await third.stop_music()
            await self._join(third)
            self.third_away = False

    def _second_call(self) -> Leg:
        if self.third is None:
            raise CommandRefused("there is no second call")
        return self.third

    async def _ring_agent(self, agent_id: int) -> tuple[Offer, Leg]:
        database = self.call.services.database
        offer = await database.run(operations.offer_to, self.call.id, agent_id, now=self.call.now())
        reached = await self._unless_cancelled(ring(self.call, [offer])) if offer else None
        if reached is None:
            raise CommandRefused("that agent does not answer")
        return reached

    async def _unless_cancelled(self, ringing: Coroutine[Any, Any, T | None]) -> T | None:
        """Ring, until the agent thinks better of it; other commands have to wait until somebody answers."""
        task = asyncio.create_task(ringing)
        try:
            while not task.done():
                await asyncio.wait((task, self.call.commands.arrival()), return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    break  # a command that came at the same moment is obeyed later
                for command in self.call.commands.take():
                    if command.done.done():
                        continue
                    if command.name == "cancel_transfer":
                        task.cancel()
                        command.done.set_result(None)
                    else:
                        command.done.set_exception(CommandRefused("a phone is ringing: wait, or cancel"))
                if task.cancelling():
                    await asyncio.wait((task,))
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
        return None if task.cancelled() else task.result()

    async def _hand_over(self) -> None:
        """The third becomes the one in charge; the agent before is let go."""
        if self.third is None:
            return
        await quietly(self._take_back(self.third))
        before_offer, before = self.offer, self.other
        self.offer, self.other = self.third_offer, self.third
        self.third = self.third_offer = None
        self.consulting = self.third_away = self._hung_up_on_page = False
        try:
            await self._write_in_charge()
            await self._unhold()
        finally:
            await self._let_go(before_offer, before)

    async def _drop_third(self) -> None:
        """The second call is over without a transfer: the caller is back with the agent."""
        third, offer = self.third, self.third_offer
        self.third = self.third_offer = None
        if third is not None:
            await third.hang_up()
            self.call.drop_leg(third)
        if offer is not None:
            await self.call.end_offer(offer, OfferResult.WITHDRAWN)
        await self._unhold()
        self.consulting = self.third_away = False
        await self._note()

    async def _drop_third_if_any(self) -> None:
        if self.third is not None:
            await self._drop_third()

    async def _note(self, consulted: Offer | None = None) -> None:
        """Write how the talk stands, for the pages; when that fails the talk goes on all the same.

        `consulted` is the offer of an agent who has just answered to be asked.
        """
        try:
            await self.call.enter(
                Phase.TALKING, on_hold=self.on_hold, consulting=self.consulting, third_away=self.third_away
            )
            if consulted is not None:
                await self.call.services.database.run(operations.begin_consultation, consulted, now=self.call.now())
        except Exception:
            log.exception("not written how a talk stands")

    # ------------------------------------------------------------------------------------------------------ ending

    async def _make_bridge(self) -> None:
        """Asterisk still knows the bridge of a talk just ended for some milliseconds after it said that it is gone."""
        for _ in range(BRIDGE_ATTEMPTS):
            with contextlib.suppress(Conflict):
                await self.ari.bridges.create(self.bridge_id)
                return
            await asyncio.sleep(BRIDGE_PAUSE_SECONDS)
        await self.ari.bridges.create(self.bridge_id)

    async def _join(self, *legs: Leg) -> None:
        await self.ari.bridges.add(self.bridge_id, [leg.id for leg in legs])

    async def _write_in_charge(self) -> None:
        if self.offer is None:
            await self.call.enter(
                Phase.TALKING,
                agent_id=None,
                agent_channel_id=self.other.id,
                bridge_id=self.bridge_id,
                on_hold=False,
                consulting=False,
                third_away=False,
            )
        else:
            self._browser_phone = await self.call.services.database.run(
                operations.answer_offer, self.offer, bridge_id=self.bridge_id, now=self.call.now()
            )

    async def _give_back(self) -> None:
        """The two were never joined, because one of them had just gone. An agent who answered has missed nothing."""
        await quietly(self.ari.bridges.destroy(self.bridge_id))
        self.call.leg.left_alone()
        await quietly(self.other.hang_up())
        self.call.drop_leg(self.other)
        if self.offer is not None:
            await self.call.end_offer(self.offer, OfferResult.WITHDRAWN)

    async def _let_go(self, offer: Offer | None, leg: Leg, *, agent_stays: bool = False) -> None:
        await quietly(leg.hang_up())
        self.call.drop_leg(leg)
        if offer is not None and not agent_stays:
            await self.call.services.database.run(
                operations.leave_talk,
                offer.agent_id,
                wrap_up_seconds=self.call.queue_config.wrap_up_seconds,
                now=self.call.now(),
            )

    async def _close(self, *, call_goes_on: bool, agent_stays: bool = False) -> None:
        await quietly(self._drop_third_if_any())
        await quietly(self.ari.bridges.destroy(self.bridge_id))
        if not self.on_hold:  # else the music goes on
            self.call.leg.left_alone()
        # at the end of a call its agent is let go in the transaction that ends it
        await self._let_go(self.offer if call_goes_on else None, self.other, agent_stays=agent_stays)

    def _no_third(self, what: str) -> None:
        if self.third is not None:
            raise CommandRefused(f"no {what} while another person is on the line: finish that first")


async def dial_out(call: ActiveCall, number: str) -> Leg:
    """Call an outside number for a transfer; returns the leg once it is answered. Raises CommandRefused."""
    services = call.services
    if services.config.outbound_endpoint is None:
        raise CommandRefused("this site does not allow transfers to outside numbers")
    leg = call.new_leg(f"{OUTSIDE}{services.ari.app}.{uuid.uuid4().hex[:16]}")
    try:
        await services.ari.channels.originate(
            services.config.outbound_endpoint.format(number=number),
            channel_id=leg.id,
            app_args=["out", call.id],
            caller_id=call.line.number,
            timeout_seconds=int(call.queue_config.ring_seconds),
            originator=call.leg.id,
        )
        async with asyncio.timeout(call.queue_config.ring_seconds + 5):
            await asyncio.wait((leg.up, leg.gone, call.leg.gone), return_when=asyncio.FIRST_COMPLETED)
        if leg.up.done() and not leg.gone.done():
            return leg
    except asyncio.CancelledError:  # the agent thinks better of it
        await quietly(leg.hang_up())
        call.drop_leg(leg)
        raise
    except (AriRefused, TimeoutError) as error:
        log.warning("outside number not reached", call=call.id, error=repr(error))
    await quietly(leg.hang_up())
    call.drop_leg(leg)
    raise CommandRefused("that number does not answer")


def bridge_of(call_id: str) -> str:
    """The name of a call's bridge."""
    return f"{OURS}{call_id}"


def call_of(bridge_id: str) -> str | None:
    """The id of the call that a bridge was made for; None for a bridge that is not ours."""
    match = _OUR_BRIDGE.fullmatch(bridge_id)
    return match[1] if match else None


def is_ours(channel_id: str) -> bool:
    """Whether we have made a channel, of this application or another: to an agent or an outside number."""
    return _OUR_CHANNEL.fullmatch(channel_id) is not None


def is_of_other_app(channel_id: str, app: str) -> bool:
    """Whether a channel to an outside number was made by another application."""
    return channel_id.startswith(OUTSIDE) and channel_id.removeprefix(OUTSIDE).partition(".")[0] != app


def _check_target(call: ActiveCall, target: str) -> None:
    match target.partition(":"):
        case ("agent", _, name) if AGENT_ID.fullmatch(name):
            return
        case ("queue", _, name):
            if name not in call.services.config.queues:
                raise CommandRefused(f"there is no queue {name!r}")
        case ("number", _, name) if OUTSIDE_NUMBER.fullmatch(name):
            if not call.services.config.may_be_called(name):
                raise CommandRefused("this site does not allow transfers to that number")
        case _:
            raise CommandRefused("a transfer goes to agent:<id>, queue:<name> or number:<digits>")


async def quietly(request: Awaitable[object]) -> None:
    """Await a request whose refusal changes nothing: what it was to end has ended already."""
    with contextlib.suppress(AriError, Hangup):
        await request
