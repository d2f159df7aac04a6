"""The calls of one worker: each is one coroutine, from its first second (or its being taken up again) to its end."""

import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from ivr import call_backs, operations
from ivr.ari import AriConnectionError, AriError, Hangup
from ivr.config import Line
from ivr.flow.call import ActiveCall, Services
from ivr.flow.call_back import begin as begin_call_back
from ivr.flow.call_back import outside_channel
from ivr.flow.fax import UNDER_WAY, became_fax
from ivr.flow.inbound import inbound
from ivr.flow.repair import abandoned_in
from ivr.flow.talk import quietly
from ivr.models import Call, CallBack, Outcome, Phase
from ivr.synthetic_call import call_id_of
from ivr.tasks import Tasks
from tickets.phone_numbers import parse_phone_number
from tickets.queries import identify_caller

log = structlog.get_logger()

FALLBACK_CONTEXT = "centralino-fallback"
"""The dialplan's context that records a message without us."""


class CallsInHand:
    """The calls under way, by id. A call that is not here but open in the database is nobody's: it is taken up again.

    `on_lost_sight` is called when a call's coroutine gave up because Asterisk did not answer.
    """

    def __init__(self, services: Services, on_lost_sight: Callable[[], object]) -> None:
        self.services = services
        self._on_lost_sight = on_lost_sight
        self._calls: dict[str, ActiveCall] = {}
        self._tasks = Tasks()

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._calls

    def get(self, call_id: str) -> ActiveCall | None:
        """The call of that id; None when it is not here."""
        return self._calls.get(call_id)

    def waiting(self) -> list[str]:
        """The ids of the calls that wait for an agent."""
        return [call.id for call in self._calls.values() if call.phase is Phase.WAITING]

    def settled(self) -> bool:
        """Whether every call may be handed over without its caller hearing anything of it."""
        return all(call.settled for call in self._calls.values())

    # ---------------------------------------------------------------------------------------------------- begin, end

    def begin(self, channel_id: str, number: str, caller: str, caller_name: str) -> None:
        """Serve a channel that has just reached the line; `number` is what was dialled, all texts as Asterisk gave."""
        line = self._line(number)
        if line.number != number:
            log.warning("dialled number is not described, served as the first line", line=number)
        synthetic = call_id_of(channel_id)
        call = ActiveCall(
            id=synthetic or uuid.uuid4().hex,
            leg=self.services.new_leg(channel_id),
            line=line,
            caller=parse_phone_number("" if synthetic else caller),
            services=self.services,
        )
        call.leg.reached_us()
        self.go_on(call, self._first_steps(call, number[:40], caller_name))

    def call_back(self, due: CallBack) -> None:
        """Call somebody back, unless another worker is faster."""
        call = ActiveCall(
            id=uuid.uuid4().hex,
            leg=self.services.new_leg(outside_channel(self.services.ari.app)),
            line=self._line(due.line),
            caller=parse_phone_number(due.number),
            services=self.services,
            phase=Phase.RINGING,
            outbound=True,
            absent=True,
        )
        self.go_on(call, begin_call_back(call, due.id))

    def recall(self, row: Call) -> ActiveCall:
        """The call of a row that nobody serves; `go_on` with it, or `forget` it."""
        call = ActiveCall(
            id=row.id,
            leg=self.services.new_leg(row.channel_id),
            line=self._line(row.line),
            caller=parse_phone_number(row.caller),
            services=self.services,
        )
        call.restore(row)
        if call.phase is not Phase.TALKING:
            call.leg.left_alone()
        return call

    def go_on(self, call: ActiveCall, way: Coroutine[Any, Any, Outcome]) -> None:
        """Serve a call along a way, to its end."""
        self._calls[call.id] = call
        serving = self._tasks.spawn(self._serve(call, way))
        # Not inside the coroutine: one that is cancelled before its first step never comes to its end.
        serving.add_done_callback(lambda _: self._ended(call, way))

    def _ended(self, call: ActiveCall, way: Coroutine[Any, Any, Outcome]) -> None:
        way.close()
        self.forget(call)
        for command in call.commands.take():
            command.done.cancel()

    def forget(self, call: ActiveCall) -> None:
        """Let go of a call and its legs."""
        if self._calls.get(call.id) is call:
            del self._calls[call.id]
        for leg in (call.leg, *call.other_legs):
            self.services.drop_leg(leg)

    def interrupt(self) -> None:
        """Leave all calls: they go on in Asterisk without us, and are taken up again."""
        self._tasks.cancel()
        self.services.legs.clear()  # a leg left over would hide its channel from the repair

    async def interrupted(self) -> None:
        """Wait until every call that was left is forgotten: only then it can be taken up again."""
        await self._tasks.cancelled()

    async def leave(self) -> None:
        """Leave all calls, and wait until all are forgotten."""
        await self._tasks.end()

    def _line(self, number: str) -> Line:
        config = self.services.config
        return config.line(number) or config.lines[0]

    # ------------------------------------------------------------------------------------------------------- serving

    async def _first_steps(self, call: ActiveCall, number: str, caller_name: str) -> Outcome:
        def identify_and_begin(session: Session) -> int | None:
            caller = call.caller.best()
            match = identify_caller(session, caller)
            operations.begin_call(
                session,
                call_id=call.id,
                app=self.services.app,
                channel_id=call.leg.id,
                line=number,
                language=call.line.language,
                caller=caller,
                caller_name=_clean(caller_name),
                contact_id=match.contact_id,
                now=call.now(),
            )
            return match.contact_id

        call.contact_id = await self.services.database.run(identify_and_begin)
        return await inbound(call)

    async def _serve(self, call: ActiveCall, way: Awaitable[Outcome]) -> None:
        """The boundary of one call: whatever happens inside, it ends here and no other call is touched.

        A call is forgotten last of all, however it ends: an open row that nobody holds is taken up again.
        """
        with bound_contextvars(call=call.id):
            note = None
            try:
                outcome = await way
                note = call.note
            except Hangup:
                outcome = call.outcome or abandoned_in(call.phase)
                if await became_fax(call):
                    outcome, note = Outcome.FAX_FAILED, UNDER_WAY
            except AriConnectionError:
                log.warning("lost sight of a call: it goes on in Asterisk and is taken up again")
                self._on_lost_sight()
                return
            except Exception as error:
                log.exception("call failed", phase=call.phase)
                outcome, note = call.outcome or Outcome.FAILED, repr(error)[:500]
                if not call.leg.gone.done() and await self.hand_to_fallback(call.leg.id, call.line.number):
                    outcome = Outcome.FALLBACK
            await self._finish(call, outcome, note)

    async def _finish(self, call: ActiveCall, outcome: Outcome, note: str | None) -> None:
        if outcome not in (Outcome.FALLBACK, Outcome.FAX_FAILED):  # the dialplan goes on with these
            await quietly(call.leg.hang_up())
        await self.services.database.run(
            operations.end_call,
            call.id,
            outcome,
            note=note,
            wrap_up_seconds=call.queue_config.wrap_up_seconds,
            now=call.now(),
        )
        if call.outbound:
            await self.services.database.run(call_backs.settle, now=call.now())
        log.info("call ended", outcome=outcome)

    async def hand_to_fallback(self, channel_id: str, number: str) -> bool:
        """Leave a call that we cannot serve to the dialplan, which records a message; False when it is gone."""
        with suppress(AriError):
            await self.services.ari.channels.continue_in_dialplan(
                channel_id, context=FALLBACK_CONTEXT, extension=self._line(number).number, priority=1
            )
            return True
        return False


def _clean(name: str) -> str | None:
    """A caller's name as the network gave it, without control characters and cut to a sensible length."""
    return "".join(c for c in name if c.isprintable())[:120] or None
