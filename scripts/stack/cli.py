"""The commands: what is done goes to stderr, what came of it to stdout."""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from scripts.stack import up_and_down
from scripts.stack.errors import ServiceError
from scripts.stack.options import Options, parse
from scripts.stack.registry import service
from scripts.stack.service import Service
from scripts.stack.up_and_down import Report, State

OK: Final = 0
FAILED: Final = 1
UNAVAILABLE: Final = 3
STOPPED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = parse(arguments, os.environ)
    services = [service(name, options.settings) for name in options.names]
    try:
        return {"up": _up, "down": _down, "status": _status}[options.command](services, options)
    except ServiceError as error:
        sys.stderr.write(f"services: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:  # Whoever reads has enough; nothing more is written, at the exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _up(services: Sequence[Service], options: Options) -> int:
    reports = up_and_down.up(services, options.settings)
    variables = merged_variables(services, reports)
    if options.as_json:
        print(as_json(reports, variables), flush=True)
    else:
        for line in shell_lines(variables):
            print(line, flush=True)
    for report in reports:
        if report.state is not State.UP:
            sys.stderr.write(f"services: {failure_line(report)}\n")
    return exit_code_of_up(reports)


def _down(services: Sequence[Service], options: Options) -> int:
    failures = up_and_down.down(services, options.settings, clean=options.clean)
    for failure in failures:
        sys.stderr.write(f"services: {failure}\n")
    return FAILED if failures else OK


def _status(services: Sequence[Service], options: Options) -> int:
    reports = up_and_down.status(services)
    if options.as_json:
        print(as_json(reports, merged_variables(services, reports)), flush=True)
    else:
        for line in status_lines(reports):
            print(line, flush=True)
    all_up = all(report.state is State.UP for report in reports)
    return OK if all_up or not options.are_named else FAILED


def merged_variables(services: Sequence[Service], reports: Sequence[Report]) -> dict[str, str]:
    """The variables of those that are up; if two set the same, the first does."""
    variables: dict[str, str] = {}
    for one, report in zip(services, reports, strict=True):
        if report.state is State.UP:
            variables = one.variables() | variables
    return variables


def shell_lines(variables: Mapping[str, str]) -> list[str]:
    """NAME=value, quoted where a shell wants it."""
    return [f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items())]


def status_lines(reports: Sequence[Report]) -> list[str]:
    """Name, state, addresses, process numbers and version, in columns."""
    rows = [
        (
            report.name,
            report.state.value,
            ",".join(report.addresses),
            ",".join(map(str, report.pids)) or "-",
            report.version or "-",
        )
        for report in reports
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def failure_line(report: Report) -> str:
    """Which service and why, in one line."""
    reason = " ".join(report.reason.split())
    if report.state is State.UNAVAILABLE:
        return f"{report.name} cannot be had here: {reason}"
    return f"{report.name} is not up: {reason or report.state}"


def exit_code_of_up(reports: Sequence[Report]) -> int:
    """What failed counts more than what cannot be had."""
    states = {report.state for report in reports}
    if states == {State.UP}:
        return OK
    return UNAVAILABLE if states <= {State.UP, State.UNAVAILABLE} else FAILED


def as_json(reports: Sequence[Report], variables: Mapping[str, str]) -> str:
    """`environment` by name, and `services`, each as in its Report."""
    return json.dumps(
        {"environment": variables, "services": [asdict(report) for report in reports]}, indent=2
    )
