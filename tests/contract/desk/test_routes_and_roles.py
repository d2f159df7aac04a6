"""Every route there is, asked by everybody: who is let in is written down here, and a route without an entry fails."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from centralino.rig.desk_server import DeskServer
from desk.api import tokens
from desk.models import Scope
from desk.operations import log_in
from desk.queries import account_by_username
from ivr.models import OfferResult
from ivr.operations import end_offer

pytestmark = pytest.mark.contract

ROLES = ("nobody", "agent", "spoke", "on_call", "supervisor", "read", "write")
"""An agent without a call, who missed one; one who talked and gave the call on; the one who talks; a supervisor who is
no agent; programs with a token to read, and to write."""

ANYONE = frozenset(ROLES)
PERSON = frozenset({"agent", "spoke", "on_call", "supervisor"})
AGENT = frozenset({"agent", "spoke", "on_call"})
CALL = frozenset({"spoke", "on_call"})
PHONE = frozenset({"on_call"})
SUPERVISOR = frozenset({"supervisor"})
NOBODY: frozenset[str] = frozenset()
READ = frozenset({"read"})
WRITE = frozenset({"write"})

EXPECTED: dict[str, frozenset[str]] = {
    "GET /": ANYONE,
    "GET /static": ANYONE,
    "GET /api/openapi.json": ANYONE,
    "GET /report": SUPERVISOR,
    "WEBSOCKET /api/live": PERSON,
    "POST /api/session": ANYONE,
    "GET /api/session": PERSON,
    "DELETE /api/session": PERSON,
    "DELETE /api/session/everywhere": PERSON,
    "GET /api/session/log-ins": PERSON,
    "DELETE /api/session/log-ins/{log_in_id}": PERSON,
    "PUT /api/session/language": PERSON,
    "PUT /api/session/preferences": PERSON,
    "POST /api/presence/free": AGENT,
    "POST /api/presence/pause": AGENT,
    "POST /api/presence/offline": AGENT,
    "POST /api/presence/end-wrap-up": AGENT,
    "PUT /api/calls/{call_id}/draft": CALL,
    "POST /api/calls/{call_id}/request": CALL,
    "POST /api/calls/{call_id}/attach": CALL,
    "POST /api/calls/{call_id}/dismiss": CALL,
    "POST /api/calls/{call_id}/contact": CALL,
    "POST /api/calls/{call_id}/hang-up": PHONE,
    "POST /api/calls/{call_id}/hold": PHONE,
    "POST /api/calls/{call_id}/unhold": PHONE,
    "POST /api/calls/{call_id}/transfer": PHONE,
    "POST /api/calls/{call_id}/transfer/complete": PHONE,
    "POST /api/calls/{call_id}/transfer/cancel": PHONE,
    "POST /api/calls/{call_id}/transfer/swap": PHONE,
    "POST /api/calls/{call_id}/transfer/join": PHONE,
    "GET /api/requests": PERSON,
    "POST /api/requests": PERSON,
    "POST /api/requests/several": PERSON,
    "GET /api/requests/by-ticket/{ticket}": PERSON,
    "GET /api/requests/{request_id}": PERSON,
    "PATCH /api/requests/{request_id}": PERSON,
    "POST /api/requests/{request_id}/take": PERSON,
    "POST /api/requests/{request_id}/call-back": AGENT,
    "GET /api/requests/{request_id}/call-backs": PERSON,
    "POST /api/requests/{request_id}/notes": PERSON,
    "POST /api/requests/{request_id}/close": PERSON,
    "POST /api/requests/{request_id}/move": PERSON,
    "POST /api/requests/{request_id}/escalate": PERSON,
    "POST /api/requests/{request_id}/hand-back": PERSON,
    "POST /api/requests/{request_id}/recall": PERSON,
    "POST /api/requests/{request_id}/refer": PERSON,
    "POST /api/requests/{request_id}/parent": PERSON,
    "POST /api/requests/{request_id}/merge": PERSON,
    "POST /api/requests/{request_id}/connectors/{connector}/retry": PERSON,
    "POST /api/requests/{request_id}/attachments": PERSON,
    "GET /api/requests/{request_id}/attachments/{attachment_id}": PERSON,
    "GET /api/requests/{request_id}/attachments/{attachment_id}/preview": PERSON,
    "GET /api/messages": PERSON,
    "POST /api/messages/heard": PERSON,
    "GET /api/messages/{message_id}": PERSON,
    "GET /api/messages/{message_id}/audio": PERSON,
    "POST /api/messages/{message_id}/call-back": AGENT,
    "POST /api/messages/{message_id}/transcript": PERSON,
    "PUT /api/messages/{message_id}/transcript": PERSON,
    "POST /api/messages/{message_id}/request": PERSON,
    "GET /api/messages/{message_id}/waveform": PERSON,
    "GET /api/notices/stopped": PERSON,
    "GET /api/notices/preview/{kind}": PERSON,
    "POST /api/notices/{notice_id}/retry": PERSON,
    "POST /api/notices/{notice_id}/dismiss": PERSON,
    "GET /api/contacts": PERSON,
    "POST /api/contacts": PERSON,
    "GET /api/companies": PERSON,
    "GET /api/areas": PERSON,
    "GET /api/support-groups": PERSON,
    "GET /api/report": SUPERVISOR,
    "GET /api/report.csv": SUPERVISOR,
    "GET /api/report.pdf": SUPERVISOR,
    "POST /api/presence/extend-wrap-up": AGENT,
    "POST /api/phone/key": AGENT,
    "POST /api/phone/ready": AGENT,
    "POST /api/calls/{call_id}/code": CALL,
    "POST /api/calls/{call_id}/phone-lost": PHONE,
    "GET /api/calls": PERSON,
    "GET /api/calls/{call_id}": PERSON,
    "POST /api/calls/take": PERSON,
    "POST /api/calls/give-back": PERSON,
    "POST /api/calls/done": PERSON,
    "POST /api/calls/{call_id}/call-back": AGENT,
    "POST /api/requests/{request_id}/unlink": PERSON,
    "POST /api/steering/calls/{call_id}/listen": NOBODY,  # unless the site allows it
    "GET /api/mails": SUPERVISOR,
    "GET /api/mails/{mail_id}": SUPERVISOR,
    "POST /api/mails/{mail_id}/open": SUPERVISOR,
    "GET /api/board": SUPERVISOR,
    "GET /api/history": SUPERVISOR,
    "GET /api/history.csv": SUPERVISOR,
    "POST /api/steering/agents/{agent_id}/presence": SUPERVISOR,
    "POST /api/steering/calls/{call_id}/move": SUPERVISOR,
    "GET /api/closures": SUPERVISOR,
    "GET /api/closures/choices": SUPERVISOR,
    "POST /api/closures": SUPERVISOR,
    "POST /api/closures/{closure_id}/end": SUPERVISOR,
    "GET /api/audit": SUPERVISOR,
    "GET /api/audit.csv": SUPERVISOR,
    "GET /api/admin/people": SUPERVISOR,
    "POST /api/admin/people": SUPERVISOR,
    "PATCH /api/admin/people/{username}": SUPERVISOR,
    "DELETE /api/admin/people/{username}": SUPERVISOR,
    "POST /api/admin/people/{username}/password": SUPERVISOR,
    "GET /api/admin/companies": SUPERVISOR,
    "POST /api/admin/companies": SUPERVISOR,
    "PATCH /api/admin/companies/{company_id}": SUPERVISOR,
    "GET /api/admin/contacts": SUPERVISOR,
    "POST /api/admin/contacts": SUPERVISOR,
    "PATCH /api/admin/contacts/{contact_id}": SUPERVISOR,
    "DELETE /api/admin/contacts/{contact_id}": SUPERVISOR,
    "POST /api/admin/import/{what}": SUPERVISOR,
    "GET /api/admin/areas": SUPERVISOR,
    "POST /api/admin/areas": SUPERVISOR,
    "PATCH /api/admin/areas/{key}": SUPERVISOR,
    "GET /api/admin/groups": SUPERVISOR,
    "POST /api/admin/groups": SUPERVISOR,
    "PATCH /api/admin/groups/{group_id}": SUPERVISOR,
    "GET /api/admin/site": SUPERVISOR,
    "POST /api/admin/site/{kind}": SUPERVISOR,
    "PUT /api/admin/site/{kind}/{name}": SUPERVISOR,
    "DELETE /api/admin/site/{kind}/{name}": SUPERVISOR,
    "GET /api/health": ANYONE,
    "GET /api/health/live": ANYONE,
    "GET /api/health/ready": ANYONE,
    "GET /api/v1/openapi.json": ANYONE,
    "POST /api/v1/requests": WRITE,
    "GET /api/v1/requests": READ,
    "GET /api/v1/requests/{ticket}": READ,
    "POST /api/v1/requests/{ticket}/notes": WRITE,
    "POST /api/v1/requests/{ticket}/replies": WRITE,
    "GET /api/v1/contacts": READ,
}
"""Which roles get beyond the question who they are; what they may do with one request is told by its status."""


@dataclass(frozen=True)
class Route:
    """One way in: a method, or WEBSOCKET, and a path."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.method not in ("GET", "WEBSOCKET")


def routes_of(app: Any, prefix: str = "") -> Iterator[Route]:
    for found in iter_route_contexts(app.routes):
        if isinstance(found.original_route, WebSocketRoute):
            yield Route("WEBSOCKET", f"{prefix}{found.path}")
        elif isinstance(found.original_route, Mount):
            yield Route("GET", f"{prefix}{found.path}")
        else:
            for method in (found.methods or set()) - {"HEAD"}:
                yield Route(method, f"{prefix}{found.path}")


def all_routes(served: DeskServer) -> list[Route]:
    (api,) = (found.kwargs["api"] for found in served.app.user_middleware if "api" in found.kwargs)
    return [*routes_of(served.app), *routes_of(api, "/api/v1")]


class Asking:
    """A desk with a call, a message, a request and everybody who may ask about them."""

    def __init__(self, served: DeskServer) -> None:
        self.served = served
        self.named: dict[str, str] = {}
        """What stands in a path in place of its parameters."""

    async def prepare(self) -> None:
        agents = {name: await self.served.agent(name) for name in ("agent", "spoke", "on_call")}
        await self.served.supervisor("supervisor")
        call_id = await self.served.waiting_call()
        missed = await self.served.ring(call_id, agents["agent"])
        await self.served.database.run(
            end_offer, missed, OfferResult.MISSED, misses_before_pause=1, now=self.served.now()
        )
        for name in ("spoke", "on_call"):
            await self.served.answer(await self.served.ring(call_id, agents[name]))
        message = await self.served.message("m1", "buongiorno")
        request = await self.served.request("Stampante ferma")
        self.named = {
            "call_id": call_id,
            "message_id": message.id,
            "request_id": str(request.id),
            "ticket": str(request.ticket),
            "kind": "registered",
            "connector": "maximo",
        }
        self.tokens = {
            scope.value: await self.served.database.run(tokens.add_token, scope.value, {scope}, now=self.served.now())
            for scope in Scope
        }

    def address(self, route: Route) -> str:
        parts = route.path.split("/")
        filled = "/".join(self.named.get(part[1:-1].split(":")[0], "1") if part[:1] == "{" else part for part in parts)
        return "/static/js/app.js" if filled == "/static" else filled

    async def headers(self, role: str) -> dict[str, str]:
        """What shows who is asking; a person has a new log-in each time, since some routes end it."""
        if role in self.tokens:
            return {"authorization": f"Bearer {self.tokens[role]}"}
        if role == "nobody":
            return {}
        account = await self.served.database.read(account_by_username, role)
        assert account is not None
        token = await self.served.database.run(
            log_in, account.id, account.password_hash, hours=1, now=self.served.now()
        )
        return {"cookie": f"centralino={token}"}

    async def lets_in(self, client: httpx.AsyncClient, route: Route, role: str) -> bool:
        headers = await self.headers(role)
        if route.method == "WEBSOCKET":
            address = self.served.url.replace("http", "ws") + route.path
            try:
                async with connect(address, additional_headers=headers, proxy=None) as socket:
                    await socket.recv()
            except InvalidStatus as refused:
                if refused.response.status_code != 403:
                    raise
                return False
            return True
        answer = await client.request(
            route.method,
            self.address(route),
            content=b"{}" if route.changes else None,
            headers={"content-type": "application/json", "idempotency-key": f"{role}-{route}".replace(" ", "-")}
            | headers,
        )
        assert answer.status_code < 500, (route, role, answer.text)
        to_the_log_in = answer.status_code == 303 and answer.headers["location"] == "/"
        wrong_password = route == Route("POST", "/api/session")
        return wrong_password or not (answer.status_code in (401, 403) or to_the_log_in)


@pytest.fixture
async def asking(served: DeskServer) -> Asking:
    one = Asking(served)
    await one.prepare()
    return one


def test_who_may_use_a_route_is_written_down_for_each(served: DeskServer) -> None:
    assert {str(route) for route in all_routes(served)} == EXPECTED.keys()


async def test_every_route_lets_in_whom_it_is_for_and_nobody_else(asking: Asking) -> None:
    wrong: list[str] = []
    async with httpx.AsyncClient(base_url=asking.served.url) as client:
        for route in all_routes(asking.served):
            let_in = {role for role in ROLES if await asking.lets_in(client, route, role)}
            wrong += _differing(str(route), let_in, EXPECTED.get(str(route), frozenset()))
    assert wrong == []


def _differing(route: str, let_in: Collection[str], expected: Collection[str]) -> list[str]:
    return [] if set(let_in) == set(expected) else [f"{route}: {sorted(let_in)} instead of {sorted(expected)}"]


async def test_no_route_can_be_used_by_a_page_of_another_site(asking: Asking) -> None:
    forged = {
        "another origin": ({"origin": "https://evil.example", "content-type": "application/json"}, 403),
        "another page of this site's domain": (
            {"sec-fetch-site": "same-site", "content-type": "application/json"},
            403,
        ),
        "a form": ({"content-type": "application/x-www-form-urlencoded"}, 415),
        "a form with files": ({"content-type": "multipart/form-data; boundary=x"}, 415),
        "text that is called none": ({"content-type": "text/plain;application/json"}, 415),
        "nothing": ({}, 415),
    }
    changing = [one for one in all_routes(asking.served) if one.changes and not one.path.startswith("/api/v1/")]
    assert len(changing) > 30
    async with httpx.AsyncClient(base_url=asking.served.url) as client:
        cookie = await asking.headers("on_call")
        for route in changing:
            for how, (headers, status) in forged.items():
                answer = await client.request(route.method, asking.address(route), headers=cookie | headers)
                assert answer.status_code == status, (route, how, answer.text)
        assert (await client.get("/api/session", headers=cookie)).status_code == 200  # none of them logged out


async def test_a_foreign_page_gets_no_live_connection_with_the_cookie_of_a_person(asking: Asking) -> None:
    address = asking.served.url.replace("http", "ws") + "/api/live"
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        with pytest.raises(InvalidStatus, match="403"):
            async with connect(
                address, additional_headers=await asking.headers("agent") | headers, origin=None, proxy=None
            ):
                pass
