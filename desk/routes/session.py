"""Logging in and out."""

import structlog
from fastapi import APIRouter, Request, Response

from desk import operations, queries
from desk.context import DeskParts, Person
from desk.errors import NotLoggedIn, TooManyAttempts, WrongPassword
from desk.passwords import verify_password
from desk.views import Credentials, LanguageForm, Me
from desk.words import language_of
from ivr import browser_phones

log = structlog.get_logger()
router = APIRouter(prefix="/session", tags=["session"])


@router.post("")
async def log_in(credentials: Credentials, request: Request, response: Response, desk: DeskParts) -> Me:
    """Log in; the answer sets the cookie. 401 when user name and password do not fit, 429 after too many failures."""
    address = request.client.host if request.client else "?"
    username = credentials.username.strip().lower()  # as all are written
    key = f"{username} {address}"
    now = desk.now()
    wait = max(desk.throttle.wait(key, now=now), desk.address_throttle.wait(address, now=now))
    if wait.total_seconds() > 0:
        raise TooManyAttempts(wait.total_seconds())
    # Counted before the slow check, so that attempts made at the same time count as well.
    desk.throttle.failed(key, now=now)
    desk.address_throttle.failed(address, now=now)
    account = await desk.database.read(queries.account_by_username, username)
    if not await verify_password(account.password_hash if account else None, credentials.password) or account is None:
        log.warning("log-in failed", username=username, address=address)
        raise WrongPassword
    desk.throttle.succeeded(key)
    desk.address_throttle.take_back(address)  # many people may share one
    token = await desk.database.run(
        operations.log_in, account.id, account.password_hash, hours=desk.settings.session_hours, now=desk.now()
    )
    who = await desk.database.read(queries.who_has, token, now=desk.now())
    if who is None:  # removed, or all log-ins ended, this moment
        raise NotLoggedIn
    response.set_cookie(
        desk.cookie,
        token,
        max_age=round(desk.settings.session_hours * 3600),
        path="/",
        secure=desk.settings.secure_cookie,
        httponly=True,
        samesite="strict",
    )
    log.info("logged in", username=account.username)
    return who.me


@router.get("")
async def who_am_i(who: Person) -> Me:
    """The person who is logged in; 401 when nobody is."""
    return who.me


@router.delete("", status_code=204)
async def log_out(who: Person, desk: DeskParts) -> Response:
    """End this log-in and close its pages' live connections."""
    await desk.database.run(operations.log_out, who.token_sha256)
    await desk.live.close_session(who.token_sha256)
    if who.me.browser_phone and who.me.agent_id is not None:
        await desk.database.run(browser_phones.new_key, who.me.agent_id)  # what this browser knows is worth nothing now
    response = Response(status_code=204)
    response.delete_cookie(desk.cookie, path="/", secure=desk.settings.secure_cookie, httponly=True, samesite="strict")
    return response


@router.put("/language")
async def set_language(form: LanguageForm, who: Person, desk: DeskParts) -> Me:
    """Choose the language of the pages; it is remembered with the account."""
    await desk.database.run(operations.set_language, who.account_id, form.language)
    return who.me.model_copy(update={"language": language_of(form.language)})
