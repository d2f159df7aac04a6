"""What every route of the API may ask for: the desk's parts, and the program that calls."""

from typing import Annotated

import structlog
from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from desk.api import tokens
from desk.api.errors import NoToken, ScopeMissing, TooOften
from desk.api.rate import Rate
from desk.api.tokens import Caller
from desk.context import Desk
from desk.models import Scope
from desk.passwords import token_hash

log = structlog.get_logger()

FAILURES_PER_MINUTE = 30
"""Requests without a known token from one address in a minute; more are refused without a look at the database."""


class Api:
    """The parts the routes work with; built once, in `desk.api.app.create_api`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.rate = Rate(desk.settings.api_per_minute)
        self.failures = Rate(FAILURES_PER_MINUTE)
        self.known: set[str] = set()
        """Hashes of tokens that were valid when last seen: these are looked up, whatever comes from their address."""


def _api(request: Request) -> Api:
    api = request.app.state.api
    assert isinstance(api, Api)  # noqa: S101 - narrows the type
    return api


Parts = Annotated[Api, Depends(_api)]
_bearer = HTTPBearer(auto_error=False, description="A token that `centralino token add` gave.")


async def _caller(
    request: Request, api: Parts, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    now = api.desk.now()
    if given is None:
        raise NoToken
    digest = token_hash(given.credentials)
    if digest not in api.known:
        address = request.client.host if request.client else ""
        if wait := api.failures.wait(address, now=now):
            raise TooOften(wait)
    caller = await api.desk.database.read(tokens.caller_with, given.credentials, now=now)
    if caller is None:
        api.known.discard(digest)
        log.info("a token that is not known")
        raise NoToken
    if digest not in api.known:
        api.known.add(digest)
    if wait := api.rate.wait(str(caller.token_id), now=now):
        raise TooOften(wait)
    if caller.to_be_noted:
        await api.desk.database.run(tokens.note_use, caller.token_id, now=now)
    return caller


def _may(scope: Scope) -> object:
    async def check(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if scope not in caller.scopes:
            raise ScopeMissing(scope.value)
        return caller

    return Depends(check)


Reader = Annotated[Caller, _may(Scope.READ)]
Writer = Annotated[Caller, _may(Scope.WRITE)]
