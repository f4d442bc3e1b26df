"""Requests that nobody sane would send, made from the API's own schema."""

from collections.abc import Callable
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

EXAMPLES = 35
"""Of each address; benchmarks/serve.py sends 10,000 in all."""


def test_no_request_is_an_error_of_ours(address: Callable[..., str], folder: Path) -> None:
    base = address(rate=1e6, burst=10**6, upload_bytes=100_000).rstrip("/")
    schema = schemathesis.openapi.from_url(f"{base}/api/openapi.json")
    before = {path: path.read_bytes() for path in (folder.parent / "elsewhere").rglob("*.pdf")}
    asked = 0
    for found in schema.get_all_operations():

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(found.ok().as_strategy())
        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            # a schema cannot say which bytes are a PDF
            case.call_and_validate(timeout=10, excluded_checks=[positive_data_acceptance])

        ask()
    assert asked > 200
    assert {path: path.read_bytes() for path in before} == before
