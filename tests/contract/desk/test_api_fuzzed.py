"""Whatever comes in, as described or not: the API answers as it is described, and never with an inner error."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from centralino.rig.desk_server import DeskServer
from desk.api import parts, tokens
from desk.models import Scope

pytestmark = pytest.mark.contract

EXAMPLES = 60
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    ignored_auth,
    unsupported_method,
]


def make_real(case: Any, number: int, ticket: str) -> None:
    """Name what is there, where a description tells only its form, so that a question gets beyond the first check."""
    if "ticket" in case.path_parameters:
        case.path_parameters["ticket"] = ticket
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"key-{number}"
    if isinstance(case.body, dict) and "area" in case.body:
        case.body["area"] = "application"
        for name in ("contact_id", "user_code", "follow_up_of", "email"):
            case.body.pop(name, None)


def ask(url: str, token: str, mode: GenerationMode, ticket: str) -> Counter[tuple[str, int]]:
    """Ask each operation many odd things, half of them about what is there; gives how often each answered what."""
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json", headers=headers)
    schema.config.update(base_url=f"{url}/api/v1")
    answered: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]

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
            number = sum(answered.values())
            if number % 2:
                make_real(case, number, ticket)
            response = case.call(headers=headers)
            answered[case.operation.label, response.status_code] += 1
            case.validate_response(response, checks=CHECKS, headers=headers)

        check()
    return answered


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
async def test_whatever_is_asked_is_answered_as_described(
    tmp_path: Path, mode: GenerationMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "FAILURES_PER_MINUTE", 100_000)
    async with DeskServer(tmp_path, api_per_minute=100_000) as served:
        token = await served.database.run(tokens.add_token, "fuzz", {Scope.READ, Scope.WRITE}, now=served.now())
        for n in range(3):
            request = await served.request(f"Richiesta {n}")
        await served.contact("Teresa Bianchi", company="ASL Bari")
        try:
            answered = await asyncio.to_thread(ask, served.url, token, mode, str(request.ticket))
        except FailureGroup as group:
            raise AssertionError("\n\n".join(str(one) for one in group.exceptions)) from group
    assert not [status for _, status in answered if status >= 500]
    if mode == GenerationMode.POSITIVE:
        done = {label for label, status in answered if status in (200, 201)}
        assert len(done) == len({label for label, _ in answered}) >= 6, answered
