"""JUnit's XML, for continuous integration: a suite for each backend and precision, a case for each property."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from conformance.findings.entry import missing
from conformance.findings.finding import BAD
from conformance.reports.likeness import alike, page
from conformance.reports.parts import said

__all__ = ["render"]

SKIPPED = ("unsupported", "xfail", "ill_posed", "inconclusive", "not_asked")
"""The statuses that are neither passed nor failed."""

EXPLAINED = {"says": "the law", "failure": "what this means", "first": "where to start"}
"""The texts of a finding that explain a failure, and what stands before them."""


def render(document: dict[str, Any]) -> str:
    """The XML. A backend that crashed, hung or skipped properties has an error of its own."""
    name = f"rnnspec conformance, tier {document['tier']}, seed {document['seed']}"
    part = f", {said(document)}" if said(document) else ""
    suites = ET.Element("testsuites", name=f"{name}{part}", time=f"{document['seconds']:.3f}")
    for entry in document["backends"]:
        suites.append(_suite(entry))
    if "parts" in document:
        suites.append(_parts(document["parts"]))
    if "self_test" in document:
        suites.append(_self_test(document["self_test"]))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(entry: dict[str, Any]) -> ET.Element:
    name = f"{entry['name']} {entry['precision']}".strip()
    suite = ET.Element("testsuite", name=name, time=f"{entry['seconds']:.3f}")
    for finding in entry["properties"]:
        law = " ".join(filter(None, (finding["id"], finding["name"])))
        case = ET.SubElement(suite, "testcase", classname=name, name=law)
        if finding["status"] in BAD:
            kind = "failure" if finding["status"] == "fail" else "error"
            ET.SubElement(case, kind, message=_text(finding["why"])).text = _text(_evidence(finding))
        elif finding["status"] in SKIPPED:
            ET.SubElement(case, "skipped", message=_text(f"{finding['status']}: {finding['why']}"))
    absent = missing(entry["counts"])
    if entry["why"] or absent:
        case = ET.SubElement(suite, "testcase", classname=name, name=f"the process: {entry['status']}")
        why = entry["why"] or f"{absent} properties did not run"
        ET.SubElement(case, "skipped" if entry["status"] == "unavailable" else "error", message=_text(why))
    _count(suite)
    if entry["looks_like"]:
        ET.SubElement(suite, "system-out").text = _text("\n".join(map(_likeness, entry["looks_like"])))
    return suite


def _likeness(found: dict[str, Any]) -> str:
    return f"{alike(found)} Read {page(found['law'])}." if found["law"] else alike(found)


def _parts(found: dict[str, Any]) -> ET.Element:
    """A case for each part of the run, with an error where it is missing."""
    suite = ET.Element("testsuite", name="parts")
    for number in range(1, 1 + found["of"]):
        case = ET.SubElement(suite, "testcase", name=f"part {number} of {found['of']}")
        if number in found["missing"]:
            ET.SubElement(case, "error", message="the part is missing")
    _count(suite)
    return suite


def _self_test(found: dict[str, Any]) -> ET.Element:
    suite = ET.Element("testsuite", name="self-test")
    ET.SubElement(suite, "testcase", name=f"{found['killed']} of {found['mutants']} mutants detected")
    for survivor in found["survivors"]:
        case = ET.SubElement(suite, "testcase", name=survivor["name"])
        ET.SubElement(case, "failure", message=_text(survivor["why"]))
    _count(suite)
    return suite


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite)))
    for kind, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(plural, str(len(suite.findall(f"testcase/{kind}"))))


def _evidence(finding: dict[str, Any]) -> str:
    found = finding["evidence"]
    lines = [f"{heading}: {finding[text]}" for text, heading in EXPLAINED.items() if finding[text]]
    if found:
        lines += [f"{found['what']} {found['where']}", f"got {found['got']}", f"expected {found['expected']}"]
    lines.append(f"more: {page(finding['id'])}")
    return "\n".join((*lines, "", finding["reproducer"]))


def _text(text: str) -> str:
    """What XML can hold: a backend's message may have any character."""
    return "".join(c if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff") else "?"
                   for c in text)  # fmt: skip
