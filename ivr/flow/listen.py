"""A supervisor hears a talk, whispers to its agent, or joins it: where the site allows that, and never unseen.

The supervisor's own phone is rung, and Asterisk's ChanSpy connects it with the agent's channel; it ends with that
channel. The talk itself is not touched, so whatever becomes of the supervisor's phone, it goes on.
"""

import uuid
from typing import Literal, get_args

from sqlalchemy.orm import Session

from ivr.ari import AriRefused, caller_id
from ivr.errors import CommandRefused
from ivr.flow.call import ActiveCall
from ivr.flow.leg import Leg
from ivr.models import Agent, Phase, Presence
from ivr.settings import node_of

Mode = Literal["hear", "whisper", "join"]
MODES: tuple[Mode, ...] = get_args(Mode)
CONTEXT = "centralino-listen"
"""The dialplan's context, with an extension for each mode (by `asterisk_conf`)."""
RING_SECONDS = 20


async def listen(call: ActiveCall, bridge_id: str, agent: Leg, target: str) -> None:
    """Ring a supervisor's phone, so that it hears the talk. Raises CommandRefused.

    `target` is the mode, the supervisor's agent id, and `audible` where all in the talk are to hear a tone.
    """
    mode, _, rest = target.partition(":")
    agent_id, _, audible = rest.partition(":")
    if mode not in MODES or not agent_id.isdecimal():
        raise CommandRefused("a talk is heard, whispered to or joined")
    phone, name = await call.services.database.read(_phone_of, int(agent_id), node_of(call.services.app))
    # before anything is heard: whoever is heard can see it
    await call.enter(Phase.TALKING, listened_by=name)
    if audible:
        await call.services.ari.bridges.play(
            bridge_id, call.media("beep"), playback_id=f"listen-{uuid.uuid4().hex[:20]}"
        )
    try:
        await call.services.ari.channels.originate_into_dialplan(
            phone,
            channel_id=f"listen-{uuid.uuid4().hex[:20]}",
            context=CONTEXT,
            extension=mode,
            caller_id=caller_id(call.line.number, call.line.name),
            timeout_seconds=RING_SECONDS,
            variables={"CENTRALINO_LISTEN": agent.id},
        )
    except AriRefused as error:
        raise CommandRefused("your phone cannot be rung: see that it is on and connected") from error


def _phone_of(session: Session, agent_id: int, node: str) -> tuple[str, str]:
    """A supervisor's phone at a node, and the user name. Raises CommandRefused when it cannot be rung for this."""
    agent = session.get(Agent, agent_id)
    if agent is None or agent.endpoint is None or not agent.phone_reachable:
        raise CommandRefused("your phone cannot be rung: see that it is on and connected")
    if agent.presence not in (Presence.OFFLINE, Presence.PAUSED):
        raise CommandRefused("go off duty or pause first: a call could come to your phone meanwhile")
    if agent.phone_node != node:
        raise CommandRefused("the call is at another Asterisk than your phone")
    return agent.endpoint, agent.username
