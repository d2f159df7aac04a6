"""Logging in and out, and the own log-ins."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Response
from sqlalchemy.orm import Session

from desk import operations, queries
from desk.context import Desk, DeskParts, Origin, Person
from desk.errors import NotLoggedIn, TooManyAttempts, WrongPassword
from desk.models import Account
from desk.passwords import verify_password
from desk.throttle import Attempt, count_attempt, forgive, wait_of
from desk.views import Credentials, LanguageForm, LogInView, Me, Preferences
from desk.words import language_of

log = structlog.get_logger()
router = APIRouter(prefix="/session", tags=["session"])


@router.post("")
async def log_in(
    credentials: Credentials,
    address: Origin,
    response: Response,
    desk: DeskParts,
    user_agent: Annotated[str | None, Header()] = None,
) -> Me:
    """Log in; the answer sets the cookie. 401 when user name and password do not fit, 429 after too many failures."""
    username = credentials.username.strip().lower()  # as all are written
    attempt = Attempt(username, address, desk.settings.failures_before_block, desk.settings.block)
    # Read first: who knocks all the time must not keep the database writing.
    wait = await desk.database.read(wait_of, attempt, now=desk.now())
    # Counted before the slow check, so that attempts made at the same time count as well.
    wait = wait or await desk.database.run(count_attempt, attempt, now=desk.now())
    if wait:
        raise TooManyAttempts(wait.total_seconds())
    account = await desk.database.read(queries.account_by_username, username)
    if not await verify_password(account.password_hash if account else None, credentials.password) or account is None:
        log.warning("log-in failed", username=username, address=address)
        raise WrongPassword
    hours = desk.settings.session_hours
    token = await desk.database.run(_let_in, account, attempt, hours=hours, browser=user_agent, now=desk.now())
    who = await desk.database.read(queries.who_has, token, idle=desk.settings.idle, now=desk.now())
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
    return _logged_out(desk)


@router.delete("/everywhere", status_code=204)
async def log_out_everywhere(who: Person, desk: DeskParts) -> Response:
    """End all log-ins of this person, in every browser, and close their pages' live connections."""
    await desk.database.run(operations.log_out_everywhere, who.account_id)
    log.info("logged out everywhere", username=who.me.username)
    return _logged_out(desk)


@router.get("/log-ins")
async def log_ins(who: Person, desk: DeskParts) -> list[LogInView]:
    """The own log-ins: in which browser, from where, since when, and when they were last used."""
    return await desk.database.read(queries.log_ins, who, idle=desk.settings.idle, now=desk.now())


@router.delete("/log-ins/{log_in_id}", status_code=204)
async def end_log_in(log_in_id: str, who: Person, desk: DeskParts) -> None:
    """End one of the own log-ins, and close its pages' live connections; 404 when it is over already."""
    await desk.database.run(operations.end_log_in, who.account_id, log_in_id)
    await desk.live.close_ended()
    log.info("log-in ended", username=who.me.username)


@router.put("/language")
async def set_language(form: LanguageForm, who: Person, desk: DeskParts) -> Me:
    """Choose the language of the pages; it is remembered with the account."""
    await desk.database.run(operations.set_language, who.account_id, form.language)
    return who.me.model_copy(update={"language": language_of(form.language)})


@router.put("/preferences")
async def set_preferences(form: Preferences, who: Person, desk: DeskParts) -> Me:
    """Remember saved filters, what lists show, and the keys, with the account: all of it, as it is to be."""
    await desk.database.run(operations.set_preferences, who.account_id, form)
    return who.me.model_copy(update={"preferences": form})


def _let_in(
    session: Session, account: Account, attempt: Attempt, *, hours: float, browser: str | None, now: datetime
) -> str:
    token = operations.log_in(
        session,
        account.id,
        account.password_hash,
        hours=hours,
        browser=browser,
        address=attempt.address,
        now=now,
    )
    forgive(session, attempt, now=now)
    return token


def _logged_out(desk: Desk) -> Response:
    response = Response(status_code=204)
    response.delete_cookie(desk.cookie, path="/", secure=desk.settings.secure_cookie, httponly=True, samesite="strict")
    return response
