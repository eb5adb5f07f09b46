"""A gate report for people, for JUnit readers and for a pull request's summary."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from stile.cli import show

_MARKS = {"pass": "✓", "fail": "✗", "unknown": "?", "yes": "✓", "no": "✗", "waiting": "…"}
_STYLES = {"pass": "green", "fail": "red", "unknown": "yellow", "yes": "green", "no": "red", "waiting": "yellow"}
_OUTCOME_STYLES = {"promote": "bold green", "reject": "bold red", "wait": "bold yellow"}
EXIT_CODES = {"promote": 0, "reject": 1, "wait": 2}


def results_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The verdicts of a report, one per candidate."""
    found: list[dict[str, Any]] = report.get("candidates", [])
    return found


def exit_code(results: list[dict[str, Any]]) -> int:
    """0 when one may be promoted, else 2 when one is waiting, else 1."""
    outcomes = {str(one.get("outcome")) for one in results}
    return next((EXIT_CODES[outcome] for outcome in ("promote", "wait") if outcome in outcomes), 1)


def show_report(report: dict[str, Any]) -> None:
    """Print every candidate's verdict with its rules, each with the deciding comparison."""
    results = results_of(report)
    if not results:
        show.say("There is no version to judge yet. Train and register one: stile run")
    for one in results:
        show_result(one)


def show_result(result: dict[str, Any]) -> None:
    """Print one candidate's verdict."""
    from rich.table import Table
    from rich.text import Text

    out = show.console()
    outcome = str(result.get("outcome"))
    head = Text(f"{result.get('use_case', '')} v{result.get('version')}  ", style="bold")
    head.append(outcome.upper(), style=_OUTCOME_STYLES.get(outcome, ""))
    head.append(f"  {result.get('sentence', '')}")
    out.print(head)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for rule in [*result.get("rules", []), *result.get("warnings", [])]:
        verdict = str(rule.get("verdict"))
        name = str(rule.get("id")) + (" (warning)" if rule.get("kind") == "warn" else "")
        grid.add_row(
            Text("  " + _MARKS.get(verdict, " "), style=_STYLES.get(verdict, "")), Text(name), Text(_sentence(rule))
        )
    for state in result.get("approvals", []):
        said = str(state.get("state"))
        grid.add_row(
            Text("  " + _MARKS.get(said, " "), style=_STYLES.get(said, "")), Text("approval"),
            Text(str(state.get("sentence", state.get("role")))),
        )  # fmt: skip
    out.print(grid)
    for remedy in result.get("missing", []):
        out.print(Text(f"  → {remedy}", style="yellow"))


def junit(use_case: str, results: list[dict[str, Any]]) -> str:
    """JUnit XML: a suite per candidate, a case per rule and approval; a failure carries the deciding comparison."""
    suites = [_suite(use_case, one) for one in results]
    return '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n' + "".join(suites) + "</testsuites>\n"


def markdown(use_case: str, results: list[dict[str, Any]], url: str) -> str:
    """The verdicts as markdown for a pull request."""
    lines = [f"## Gate: {use_case}", ""]
    if not results:
        lines += ["There is no version to judge.", ""]
    for one in results:
        lines += [f"### v{one.get('version')}: {one.get('outcome')}", "", f"{one.get('sentence', '')}", ""]
        lines += ["| | rule | in words | verdict |", "|---|---|---|---|"]
        for rule in [*one.get("rules", []), *one.get("warnings", [])]:
            mark = _MARKS.get(str(rule.get("verdict")), "")
            cells = (mark, f"`{rule.get('id')}`", rule.get("says", ""), _sentence(rule))
            lines.append("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        for state in one.get("approvals", []):
            mark = _MARKS.get(str(state.get("state")), "")
            lines.append(f"| {mark} | approval | {state.get('role')} | {state.get('sentence', '')} |")
        lines.append("")
        lines += [f"- {remedy}" for remedy in one.get("missing", [])]
    return "\n".join([*lines, "", f"[{url}]({url})", ""])


def _sentence(rule: dict[str, Any]) -> str:
    return str(rule.get("sentence") or rule.get("says") or "")


def _suite(use_case: str, result: dict[str, Any]) -> str:
    cases: list[str] = []
    failures = skipped = 0
    name = f"{use_case}.v{result.get('version')}"
    for rule in result.get("rules", []):
        inside = ""
        if rule.get("verdict") == "fail":
            failures += 1
            inside = f"<failure message={quoteattr(_sentence(rule))}>{escape(_trace(rule))}</failure>"
        elif rule.get("verdict") != "pass":
            skipped += 1
            inside = f"<skipped message={quoteattr('unknown: ' + _sentence(rule))}/>"
        cases.append(_case(name, str(rule.get("id")), inside))
    for state in result.get("approvals", []):
        inside = ""
        if state.get("state") == "no":
            failures += 1
            inside = f"<failure message={quoteattr(str(state.get('sentence')))}/>"
        elif state.get("state") != "yes":
            skipped += 1
            inside = f"<skipped message={quoteattr(str(state.get('sentence')))}/>"
        cases.append(_case(name, f"approval {state.get('role')}", inside))
    head = (
        f'<testsuite name={quoteattr(name)} tests="{len(cases)}" failures="{failures}" skipped="{skipped}" errors="0">'
    )
    return f"  {head}\n" + "".join(cases) + "  </testsuite>\n"


def _case(suite: str, name: str, inside: str) -> str:
    body = f"{inside}</testcase>" if inside else "</testcase>"
    return f"    <testcase classname={quoteattr(suite)} name={quoteattr(name)}>{body}\n"


def _trace(rule: dict[str, Any]) -> str:
    lines = [f"{rule.get('says', '')}", f"rule: {rule.get('rule', '')}"]
    for line in rule.get("trace", []):
        said = line.get("sentence") or line.get("text") if isinstance(line, dict) else line
        lines.append(f"  {said}")
    return "\n".join(lines)
