"""Drives a server with the unmodified SailPoint SDK and reports what it saw.

Runs inside a venv that has the SDK and nothing of this project: ``python driver.py FLAVOUR < plan.json > report.json``. FLAVOUR is ``v1``
(SDK 2.x) or one of the year-versioned modules of SDK 1.x. The report maps each observation to what the SDK gave back, or to
``{"raised": CLASS, "status": ..., "body": ..., "data": CLASS}``; what any of it should be is not known here.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

FLAVOUR = sys.argv[1]
V1 = FLAVOUR == "v1"
SUFFIX = "_v1" if V1 else ""
TIMEOUT_S = 20
PAGES = (100, 250)


class Sdk:
    """The modules of one flavour."""

    def __init__(self) -> None:
        place = "sailpoint.task_management" if V1 else f"sailpoint.{FLAVOUR}"
        configuration = import_module("sailpoint.configuration")
        self.Configuration: Any = configuration.Configuration
        self.Params: Any = configuration.ConfigurationParams
        self.Client: Any = import_module("sailpoint.api_client" if V1 else f"{place}.api_client").ApiClient
        self.Api: Any = import_module(f"{place}.api.task_management_api").TaskManagementApi
        self.Operation: Any = import_module(f"{place}.models.json_patch_operation").JsonPatchOperation
        self.Paginator: Any = import_module("sailpoint.paginator").Paginator

    def configuration(self, url: str, **params: str) -> Any:
        """As a user makes one: credentials, or a token, beside the address."""
        chosen = self.Params()
        chosen.base_url = url
        for name, value in params.items():
            setattr(chosen, name, value)
        configuration = self.Configuration(chosen)
        configuration.experimental = True  # SDK 1.x asks for this word before it calls anything of v2026
        configuration.suppress_experimental_warnings = True
        configuration.retries = False  # urllib3 would sleep as long as Retry-After says, three times
        return configuration

    def calls(self, configuration: Any) -> Calls:
        """The operations of a client with this configuration."""
        return Calls(self.Api(self.Client(configuration)))


class Calls:
    """The operations by what they do, whatever the flavour calls them."""

    def __init__(self, api: Any) -> None:
        self.list: Any = getattr(api, f"get_task_status_list{SUFFIX}")
        self.list_with_headers: Any = getattr(api, f"get_task_status_list{SUFFIX}_with_http_info")
        self.get: Any = getattr(api, f"get_task_status{SUFFIX}")
        self.patch: Any = getattr(api, f"update_task_status{SUFFIX}")
        self.pending: Any = getattr(api, "get_pending_tasks_with_http_info", None)
        self.pending_headers: Any = getattr(api, "get_pending_task_headers_with_http_info", None)


def shown(value: Any) -> Any:
    """What the SDK gave back, as JSON: models by their wire names, a value of several types (a message's parameter) as what it is."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json", by_alias=True)
    if isinstance(value, list):
        return [shown(each) for each in value]
    if isinstance(value, dict):
        return shown(value["actual_instance"]) if "any_of_schemas" in value else {name: shown(each) for name, each in value.items()}
    return value


def raised(error: Exception) -> dict[str, Any]:
    """An exception as a user's `except` clause has it."""
    headers = getattr(error, "headers", None) or {}
    return {
        "raised": type(error).__name__,
        "bases": [base.__name__ for base in type(error).__mro__],
        "status": getattr(error, "status", None),
        "body": getattr(error, "body", None) or str(error),
        "data": type(getattr(error, "data", None)).__name__,
        "retryAfter": headers.get("Retry-After"),
    }


class Report:
    """Observations by name."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def see(self, name: str, look: Callable[[], Any]) -> None:
        """Keep what a look gives, or how it failed."""
        began = time.perf_counter()
        try:
            self.seen[name] = shown(look())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the SDK does
            self.seen[name] = raised(error)
        self.seen.setdefault("seconds", {})[name] = round(time.perf_counter() - began, 3)


def ids(tasks: list[Any]) -> list[str]:
    """The ids of what was listed."""
    return [task.id for task in tasks]


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for a moment."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def look_at_tokens(report: Report, sdk: Sdk, plan: dict[str, Any]) -> None:
    """Client credentials by parameters and by environment, wrong ones, and a token that was made elsewhere."""

    def by_environment() -> int:
        with environment(SAIL_BASE_URL=plan["locked"], SAIL_CLIENT_ID=plan["writer"][0], SAIL_CLIENT_SECRET=plan["writer"][1]):
            configuration = sdk.Configuration()
        configuration.experimental = True
        return len(sdk.calls(configuration).list(limit=1))

    def by_parameters(client: list[str]) -> Any:
        return sdk.configuration(plan["locked"], client_id=client[0], client_secret=client[1])

    report.see("token from the environment", by_environment)
    report.see("token from parameters", lambda: len(sdk.calls(by_parameters(plan["writer"])).list(limit=1)))
    report.see("token for a reader", lambda: len(sdk.calls(by_parameters(plan["reader"])).list(limit=1)))
    report.see("static token", lambda: len(sdk.calls(sdk.configuration(plan["locked"], access_token=plan["token"])).list(limit=1)))
    brief = sdk.calls(sdk.configuration(plan["brief"], client_id=plan["writer"][0], client_secret=plan["writer"][1]))

    def while_it_lasts() -> str:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            brief.list(limit=0)
            time.sleep(0.05)
        return "it never expired"

    report.see("expired token", while_it_lasts)
    report.see("token for wrong credentials", lambda: by_parameters(["writer", "wrong"]).access_token)
    report.see("no login asked for", lambda: bool(sdk.configuration(plan["open"], client_id="any", client_secret="any").access_token))


def look_at_lists(report: Report, sdk: Sdk, calls: Calls, plan: dict[str, Any]) -> None:
    """Filters, sorters, pages, counts."""

    def listed(**arguments: Any) -> Callable[[], list[str]]:
        return lambda: ids(calls.list(**arguments))

    def paginated(limit: int) -> Callable[[], list[str]]:
        return lambda: ids(sdk.Paginator.paginate(calls.list, 5_000, limit=limit))

    for name, filters in plan["filters"].items():
        report.see(f"filter {name}", listed(filters=filters))
    for sorters in ("created", "-created"):
        report.see(f"sorted by {sorters}", listed(sorters=sorters, limit=250, filters=plan["sorted"]))
    report.see("default page", listed())
    report.see("second page", listed(limit=3, offset=3))
    report.see("limit 0", listed(limit=0))
    report.see("past the end", listed(limit=10, offset=1_000_000))
    for limit in PAGES:
        report.see(f"paginated by {limit}", paginated(limit))
    if V1:
        report.see("paginated stream", lambda: ids(list(sdk.Paginator.paginate_stream(calls.list, 777, limit=50))))
    report.see("count", lambda: dict(calls.list_with_headers(limit=1, count=True, filters=plan["counted"]).headers))
    report.see("no count", lambda: dict(calls.list_with_headers(limit=1).headers))


def look_at_tasks(report: Report, sdk: Sdk, calls: Calls, plan: dict[str, Any]) -> None:
    """One task, and a correction of one."""
    report.see("get", lambda: calls.get(plan["full"]))
    report.see("get extremes", lambda: calls.get(plan["extreme"]))
    report.see("get an odd id", lambda: calls.get(plan["odd"]).id)
    prefixed = sdk.calls(sdk.configuration(plan["unlocked"] + plan["prefix"], client_id="any", client_secret="any"))
    report.see("get under a prefix", lambda: prefixed.get(plan["odd"]).id)
    report.see("get a running task", lambda: calls.get(plan["running"]))

    def correct() -> Any:
        operations = [
            {"op": "replace", "path": "/completionStatus", "value": "Error"},
            {"op": "replace", "path": "/completed", "value": "2026-05-17T19:33:16.470Z"},
        ]
        return calls.patch(plan["running"], [sdk.Operation.from_dict(each) for each in operations])

    report.see("patch", correct)
    report.see("read back", lambda: calls.get(plan["running"]))
    report.see("read back in a list", lambda: calls.list(filters=f'id eq "{plan["running"]}"'))


def look_at_pending(report: Report, calls: Calls) -> None:
    """The deprecated operations of SDK 1.x."""

    def pending() -> Any:
        answer = calls.pending(limit=250, count=True)
        return {"ids": sorted(ids(answer.data)), "headers": dict(answer.headers)}

    def headers() -> Any:
        answer = calls.pending_headers(count=True)
        return {"status": answer.status_code, "headers": dict(answer.headers)}

    report.see("pending", pending)
    report.see("pending headers", headers)


def look_at_errors(report: Report, sdk: Sdk, calls: Calls, plan: dict[str, Any]) -> None:
    """Each error by the class that the SDK has for it."""
    success = [sdk.Operation.from_dict({"op": "replace", "path": "/completionStatus", "value": "Success"})]
    description = [sdk.Operation.from_dict({"op": "replace", "path": "/description", "value": "other"})]
    reader = sdk.calls(sdk.configuration(plan["locked"], client_id=plan["reader"][0], client_secret=plan["reader"][1]))
    stranger = sdk.calls(sdk.configuration(plan["locked"], access_token="nobody's"))
    report.see("400 for a field", lambda: calls.list(filters='nothing eq "x"'))
    report.see("400 for an operator", lambda: calls.list(filters='type co "CLOUD"'))
    report.see("400 for a grammar", lambda: calls.list(filters='id eq "a'))
    report.see("400 for sorters", lambda: calls.list(sorters="nothing"))
    report.see("400 for a path", lambda: calls.patch(plan["full"], description))
    report.see("401", lambda: stranger.list(limit=1))
    report.see("401 for one task", lambda: stranger.get(plan["full"]))
    report.see("403", lambda: reader.patch(plan["full"], success))
    report.see("404", lambda: calls.get("there-is-no-such-task"))
    report.see("404 for a patch", lambda: calls.patch("there-is-no-such-task", success))
    lonely = sdk.calls(sdk.configuration(plan["open"], access_token="any"))
    report.see("409 without a log", lambda: lonely.patch(plan["full"], success))
    hurried = sdk.calls(sdk.configuration(plan["slow"], access_token="any"))

    def hurry() -> Any:
        return [len(hurried.list(limit=1)) for _ in range(plan["burst"])]

    report.see("429", hurry)
    patient_configuration = sdk.configuration(plan["slow"], access_token="any")
    patient_configuration.retries = None  # urllib3's own: it waits as long as Retry-After says, and asks again
    report.see("429 waited for", lambda: len(sdk.calls(patient_configuration).list(limit=1)))


def main() -> None:
    """Look at all of it."""
    plan = json.load(sys.stdin)
    report, said = Report(), io.StringIO()  # SDK 1.x prints a line for each page
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(said):
        warnings.simplefilter("always")
        sdk = Sdk()
        caught.clear()  # those of the SDK's own modules
        look_at_tokens(report, sdk, plan)
        calls = sdk.calls(sdk.configuration(plan["locked"], client_id=plan["writer"][0], client_secret=plan["writer"][1]))
        look_at_lists(report, sdk, calls, plan)
        look_at_tasks(report, sdk, calls, plan)
        if calls.pending is not None:
            look_at_pending(report, calls)
        look_at_errors(report, sdk, calls, plan)
    report.seen["warnings"] = sorted({f"{each.category.__name__}: {each.message}" for each in caught})
    report.seen["printed"] = said.getvalue()
    json.dump(report.seen, sys.stdout)


if __name__ == "__main__":
    main()
