"""What schemathesis cannot read from the document."""

import os
from pathlib import Path

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import UnsupportedMethodResponse


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts in what the dictionaries name. A long poll for any change lasts as long as it may: here for a second."""
    case.query = expanded(case.query)
    case.body = expanded(case.body)
    if case.headers.get("If-None-Match") == "*" and str(case.query.get("wait", "")).isdecimal():
        case.query["wait"] = min(int(case.query["wait"]), 1)


def expanded(value):
    if isinstance(value, dict):
        return {name: expanded(member) for name, member in value.items()}
    return os.environ[value] if value in ("RELAY_KEY", "TOKEN") else value


def is_drop_in(case):
    """Whether a refusal has status 200 and an errcode, also for a wrong method."""
    return case.operation.path.startswith("/cgi-bin/")


@schemathesis.hook
def after_call(context, case, response):
    """Leaves a file for each of WeChat's routes that granted something: the metrics cannot tell."""
    if is_drop_in(case) and response.status_code == 200 and response.json().get("errcode", 0) == 0:
        Path(os.environ["GRANTED"], case.operation.definition.raw["operationId"]).touch()


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """An errcode is a refusal there."""
    if not isinstance(failure, (AcceptedNegativeData, UnsupportedMethodResponse)):
        return True
    return not (is_drop_in(case) and response.json().get("errcode", 0) != 0)
