"""Whatever a page sends to the desk: never an inner error, and every answer as it is described."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from centralino.rig.desk_server import DeskServer
from tickets.levels import add_group

pytestmark = pytest.mark.contract

EXAMPLES = 20
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ENDS_THE_LOG_IN = ("DELETE /api/session", "DELETE /api/session/everywhere")


def make_real(case: Any, real: dict[str, Any]) -> None:
    """Name what is there, where a description tells only its form, so that a question gets beyond the first check."""
    for name, value in real.items():
        if name in case.path_parameters:
            case.path_parameters[name] = value
        if isinstance(case.body, dict) and name in case.body:
            case.body[name] = value
    if isinstance(case.body, dict):
        for name in ("contact_id", "company_id", "follow_up_of_id", "new_contact", "version"):
            case.body.pop(name, None)


def ask(url: str, cookie: str, mode: GenerationMode, real: dict[str, Any]) -> Counter[tuple[str, int]]:
    """Ask each operation many odd things, half of them about what is there; gives how often each answered what."""
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    schema.config.update(base_url=url)
    answered: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        if operation.label in ENDS_THE_LOG_IN:
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            if sum(answered.values()) % 2:
                make_real(case, real)
            headers = {"cookie": cookie}
            if case.media_type is None:  # as the pages do
                headers["content-type"] = "application/json"
            response = case.call(headers=headers)
            answered[case.operation.label, response.status_code] += 1
            case.validate_response(response, checks=CHECKS, headers=headers)

        try:
            check()
        except Unsatisfiable:  # an operation that is asked nothing cannot be asked wrongly
            assert mode == GenerationMode.NEGATIVE
    return answered


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
async def test_whatever_is_asked_of_the_desk_is_answered_as_described(tmp_path: Path, mode: GenerationMode) -> None:
    async with DeskServer(tmp_path, failures_before_block=100) as served:
        giulia = await served.agent("giulia")
        teresa = await served.contact("Teresa Bianchi", company="ASL Bari", email="t@example.org")
        request = await served.request("Stampante ferma", contact_id=teresa, email="t@example.org")
        await served.message("m1", "buongiorno", contact_id=teresa)
        await served.database.run(add_group, "Specialisti", 2)
        call_id = await served.waiting_call()
        await served.answer(await served.ring(call_id, giulia))
        real = {
            "request_id": request.id,
            "ticket": request.ticket,
            "message_id": "m1",
            "call_id": call_id,
            "area": "application",
            "group_id": 1,
            "email": "u@example.org",
        }
        async with served.browser("giulia") as page:
            cookie = f"centralino={page.cookies['centralino']}"
            try:
                answered = await asyncio.to_thread(ask, served.url, cookie, mode, real)
            except FailureGroup as group:
                raise AssertionError("\n\n".join(str(one) for one in group.exceptions)) from group
            assert (await page.get("/session")).status_code == 200
    assert not [status for _, status in answered if status >= 500 and status != 507]
    assert len({label for label, _ in answered}) >= (50 if mode == GenerationMode.POSITIVE else 35), answered
