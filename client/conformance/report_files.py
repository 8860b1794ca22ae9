"""The verdict for machines: JSON, and JUnit XML."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from .outcome import CheckOutcome, Failure, RequirementOutcome, Result, Verdict

LAST_ENTRIES = 200
"""Of a transcript. A check that floods the server has tens of thousands."""

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_data(verdict: Verdict) -> dict[str, Any]:
    """Everything, with the transcripts of the failures."""
    return {
        **verdict.facts,
        "conforms": verdict.conforms,
        "seconds": round(verdict.seconds, 3),
        "summary": {
            "passed": verdict.count(lambda row: row.result is Result.PASSED),
            "failed": verdict.count(lambda row: row.is_error),
            "warnings": verdict.count(lambda row: row.is_warning),
            "not_run": verdict.count(lambda row: row.result is Result.NOT_RUN),
        },
        "requirements": [_requirement(row) for row in verdict.requirements],
        "checks": [_check(outcome) for outcome in verdict.checks],
    }


def _requirement(row: RequirementOutcome) -> dict[str, Any]:
    return {
        "id": row.requirement.id,
        "level": row.requirement.level,
        "role": row.requirement.role,
        "text": row.requirement.text,
        "result": row.result.value,
        "reason": row.reason or None,
        "checks": [outcome.check.name for outcome in row.checks],
        "failures": [_failure(outcome, failure) for outcome, failure in row.failures],
    }


def _failure(outcome: CheckOutcome, failure: Failure) -> dict[str, Any]:
    return {
        "check": outcome.check.name,
        "message": failure.message,
        "transcript": [
            {
                "ms": round(entry.milliseconds, 1),
                "connection": entry.connection,
                "direction": entry.direction,
                "text": entry.text,
            }
            for entry in outcome.transcript_of(failure, LAST_ENTRIES)
        ],
    }


def _check(outcome: CheckOutcome) -> dict[str, Any]:
    return {
        "name": outcome.check.name,
        "chapter": outcome.check.chapter,
        "description": outcome.check.description,
        "requirements": list(outcome.check.requirements),
        "result": outcome.result.value,
        "reason": outcome.not_run,
        "seconds": round(outcome.seconds, 3),
    }


def as_junit(verdict: Verdict) -> str:
    """One test case a requirement. JUnit knows no warnings: a SHOULD that is not kept is a skipped case."""
    rows = verdict.requirements
    suite = ElementTree.Element(
        "testsuite",
        name="caesura conform",
        tests=str(len(rows)),
        failures=str(verdict.count(lambda row: row.is_error)),
        errors="0",
        skipped=str(verdict.count(lambda row: row.is_warning or row.result is Result.NOT_RUN)),
        time=f"{verdict.seconds:.3f}",
    )
    for row in rows:
        seconds = sum(outcome.seconds for outcome in row.checks)
        case = ElementTree.SubElement(
            suite, "testcase", classname=_chapter(row), name=row.requirement.id, time=f"{seconds:.3f}"
        )
        said = _clean("; ".join(failure.message for _, failure in row.failures))
        if row.is_error:
            ElementTree.SubElement(case, "failure", message=said).text = _clean(_story(row))
        elif row.is_warning:
            ElementTree.SubElement(case, "skipped", message=f"warning (SHOULD): {said}").text = _clean(_story(row))
        elif row.result is Result.NOT_RUN:
            ElementTree.SubElement(case, "skipped", message=_clean(f"not run: {row.reason}"))
    document = ElementTree.Element("testsuites")
    document.append(suite)
    ElementTree.indent(document)
    return ElementTree.tostring(document, encoding="unicode", xml_declaration=True) + "\n"


def _chapter(row: RequirementOutcome) -> str:
    return f"conformance.{row.checks[0].check.chapter.replace(' ', '_')}" if row.checks else "conformance"


def _story(row: RequirementOutcome) -> str:
    lines = [f"{row.requirement.level}: {row.requirement.text}"]
    for outcome, failure in row.failures:
        lines += ["", f"{outcome.check.name}: {failure.message}"]
        lines += [str(entry) for entry in outcome.transcript_of(failure, LAST_ENTRIES)]
    return "\n".join(lines)


def _clean(text: str) -> str:
    """Without the characters that XML can't hold."""
    return _NO_XML.sub("�", text)
