"""One Stasis application of Asterisk in this worker's hands: its connection, its calls, and their repair."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack, suppress

import structlog

from ivr import browser_phones, operations, queries
from ivr.ari import Ari, AriConnectionError, AriRefused, CallBroadcast, Event, StasisStart
from ivr.calls_in_hand import CallsInHand
from ivr.flow.call import Services
from ivr.flow.talk import quietly
from ivr.reconciler import Reconciler
from ivr.settings import Node, stasis_app_of
from ivr.tasks import Tasks

log = structlog.get_logger()

UNUSED_EVENTS = (
    "ChannelVarset",
    "ChannelDialplan",
    "ChannelConnectedLine",
    "ChannelCallerId",
    "ChannelCreated",
    "ChannelStateChange",
    "ChannelEnteredBridge",
    "ChannelLeftBridge",
    "BridgeCreated",
    "BridgeDestroyed",
    "Dial",
    "PlaybackStarted",
    "PlaybackContinuing",
    "RecordingStarted",
)
"""Asterisk is told not to send these: about half of all events of a call."""
REPAIR_PAUSE_SECONDS = 1.0
STEP_DOWN_SECONDS = 60.0
"""Another service has taken over the application: so long it is left to it. With several workers the lease tells."""
CLAIM_DELAY_SECONDS = 0.001
"""A worker waits so long for each call it has before it takes another: the least loaded one is first."""
LONGEST_CLAIM_DELAY_SECONDS = 0.1


class Application:
    """The calls of one Stasis application. Between `open` and `close` they are served.

    `name` is as in rows and leases. `nodes` are the names of all Asterisks, `node` the one it is at. `share` makes what
    its calls work with, from the connection. `on_repaired` is called whenever calls can be served (again): connected,
    and every open call in hand or closed. `why_full` says why the worker should take no more calls, None when it may.
    `shares_calls`: other workers may take what this one does not.
    """

    def __init__(
        self,
        name: str,
        node: Node,
        nodes: Collection[str],
        share: Callable[["Application"], Services],
        on_repaired: Callable[[], None],
        why_full: Callable[[], str | None],
        *,
        shares_calls: bool,
    ) -> None:
        self.name, self.node, self._nodes = name, node, nodes
        self.ari = Ari(
            node.url,
            stasis_app_of(name),
            node.username,
            node.password.get_secret_value(),
            on_event=self._on_event,
            on_connected=self._on_connected,
            on_disconnected=self._on_disconnected,
            step_down_seconds=None if shares_calls else STEP_DOWN_SECONDS,
        )
        self.services = share(self)
        self._on_repaired, self._why_full = on_repaired, why_full
        self._shares_calls = shares_calls
        self._tasks = Tasks()
        self.calls = CallsInHand(self.services, on_lost_sight=lambda: self._tasks.spawn(self._look_again()))
        self._reconciler = Reconciler(self.calls)
        self._repaired = asyncio.Event()
        self._connections = 0
        self.takes_calls = True
        """Whether calls that are offered to all workers are claimed."""
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Connect to Asterisk; does not wait for Asterisk to be there."""
        self._stack.push_async_callback(self.calls.leave)
        self._stack.push_async_callback(self._tasks.end)
        await self._stack.enter_async_context(self.ari)

    async def close(self) -> None:
        """Leave its calls: they stay up in Asterisk, for another worker to take over."""
        await self._stack.aclose()

    @property
    def in_service(self) -> bool:
        """Whether its calls are served: connected to Asterisk, and repaired."""
        return self.ari.connected and self._repaired.is_set()

    async def ready(self) -> None:
        """Wait until in service."""
        await self._repaired.wait()

    # ------------------------------------------------------------------------------------------------- from Asterisk

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StasisStart):
            self._on_stasis_start(event)
        elif isinstance(event, CallBroadcast):
            if self.takes_calls and self.in_service and self._why_full() is None:
                self._tasks.spawn(quietly(self._claim(event.channel.id)))
            return
        for channel_id in event.channel_ids:
            leg = self.services.legs.get(channel_id)
            if leg is not None:
                leg.feed(event)

    def _on_stasis_start(self, event: StasisStart) -> None:
        channel = event.channel
        if event.replace_channel is not None and (leg := self.services.legs.pop(event.replace_channel.id, None)):
            # the phone itself transferred the call: the same person now speaks from another channel
            leg.id = channel.id
            self.services.legs[channel.id] = leg
        elif event.args[:1] == ["inbound"]:
            number = event.args[1] if len(event.args) > 1 else ""
            # A call of several workers was claimed: it is served. One of ours alone may still go to the dialplan.
            if not self._shares_calls and (why := self._why_full()) is not None:
                log.warning("no more calls can be taken now: left to the dialplan", why=why, channel=channel.id)
                self._tasks.spawn(self.calls.hand_to_fallback(channel.id, number))
                return
            self.calls.begin(channel.id, number, channel.caller_number, channel.caller_name)
        elif channel.id not in self.services.legs:
            log.info("channel nobody waits for", channel=channel.id)
            self._tasks.spawn(quietly(self.ari.channels.hangup(channel.id)))

    async def _claim(self, channel_id: str) -> None:
        """Take a call that is offered to every worker; it arrives as any other, when no worker was faster."""
        await asyncio.sleep(min(len(self.calls) * CLAIM_DELAY_SECONDS, LONGEST_CLAIM_DELAY_SECONDS))
        if self.takes_calls and self._why_full() is None:  # still
            await self.ari.events.claim(channel_id, self.ari.app)

    def _on_connected(self) -> None:
        self._connections += 1
        self._tasks.spawn(self._repair())

    def _on_disconnected(self) -> None:
        """Calls go on in Asterisk without us; their coroutines end here and are begun again by the repair."""
        self._repaired.clear()
        self.calls.interrupt()

    # -------------------------------------------------------------------------------------------------------- repair

    async def _repair(self) -> None:
        """Until it has succeeded no agent is rung, so it is tried again as long as this connection stands."""
        connection = self._connections
        while self.ari.connected and connection == self._connections:
            try:
                await self.calls.interrupted()
                await self.ari.applications.filter_events(self.ari.app, disallowed=UNUSED_EVENTS)
                await self.tell_phone_keys()
                await self.check_phones()
                await self.reconcile()
            except AriConnectionError as error:
                log.warning("repair interrupted, it begins again", error=str(error))
            except Exception:
                log.exception("repair failed, it begins again")
            else:
                if self.ari.connected and connection == self._connections:
                    self._repaired.set()
                    self._on_repaired()
                return
            await asyncio.sleep(REPAIR_PAUSE_SECONDS)

    async def reconcile(self) -> None:
        """Bring rows and channels together: at every (re)connect, and once a minute since something may be missed.

        Raises AriConnectionError when Asterisk is lost meanwhile.
        """
        if self.ari.connected:
            await self._reconciler.reconcile()

    async def _look_again(self) -> None:
        """A request was not answered in time though the connection stands: no reconnect will bring its call back."""
        await asyncio.sleep(REPAIR_PAUSE_SECONDS)
        with suppress(AriConnectionError):
            await self.reconcile()
            self._on_repaired()

    async def tell_phone_keys(self, agent_ids: Collection[int | str] | None = None) -> None:
        """Tell Asterisk the keys of browser phones: of these agents, or all, since a restarted one knows none."""
        if not self.ari.connected:
            return
        for name, key in await self.services.database.read(browser_phones.keys, agent_ids):
            fields = {"auth_type": "digest", "username": name, "password": key}
            try:
                await self.ari.asterisk.configure("res_pjsip", "auth", name, fields)
            except AriRefused as error:
                log.error("Asterisk takes no key of a browser phone: see sorcery.conf", phone=name, status=error.status)

    async def check_phones(self) -> None:
        """Compare every agent's phone with what Asterisk knows of it; run by the clock, and when a page is opened.

        A phone belongs to the node at which it was found first, until it is away there: one that registers elsewhere
        may count as registered at both for a while. Subscribing to the phones instead would bring every event of every
        call a second time.
        """
        if not self.ari.connected:
            return
        online = {
            f"{endpoint.technology}/{endpoint.resource}"
            for endpoint in await self.ari.endpoints.list()
            if endpoint.state == "online"
        }
        here = self.node.name
        for phone, (reachable, at) in (await self.services.database.read(queries.phones)).items():
            found = phone in online
            elsewhere = at != here and at in self._nodes
            if elsewhere and (reachable or not found):
                continue
            if at == here and reachable is found:
                continue
            await self.services.database.run(
                operations.set_phone_reachable, phone, found, node=here, now=self.services.now()
            )
