"""What schemathesis cannot read from the document."""

import os

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
    if value in ("$RELAY_KEY", "$TOKEN"):
        return os.path.expandvars(value)
    return value


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """On WeChat's own routes a refusal has status 200 and an errcode, also for a wrong method."""
    if not isinstance(failure, (AcceptedNegativeData, UnsupportedMethodResponse)):
        return True
    is_refusal = case.operation.path.startswith("/cgi-bin/") and response.json().get("errcode", 0) != 0
    return not is_refusal
