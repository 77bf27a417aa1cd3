"""The gate of known vulnerabilities: what stops a build, and what is accepted until when."""

import datetime
import importlib.util
import json
from pathlib import Path

import pytest

from tests.support.cloud_services import vulnerability
from tests.support.cloud_steps import ROOT

TODAY = datetime.date(2026, 11, 30)


def load():
    file = ROOT / ".ci/vulnerabilities.py"
    spec = importlib.util.spec_from_file_location("vulnerabilities", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gate = load()


def names(found, least="CRITICAL", exceptions=()):
    return [name for _, name, _ in gate.blocking(found, least, set(exceptions))]


@pytest.mark.parametrize("least", gate.SEVERITIES)
def test_what_has_a_fix_stops_a_build_from_the_severity_on(least):
    found = [vulnerability(each, f"CVE-{each}", "zlib", fixed=True) for each in gate.SEVERITIES]
    stops = gate.SEVERITIES[gate.SEVERITIES.index(least) :]
    assert names(found, least) == sorted(f"CVE-{each}" for each in stops)


def test_what_has_no_fix_stops_no_build_whatever_its_severity():
    found = vulnerability("CRITICAL", "CVE-2023-45853", "zlib", "zlib1g-dev", fixed=False)
    assert names([found], "MINIMAL") == []


def test_a_fix_of_one_of_the_packages_is_a_fix():
    found = vulnerability("HIGH", "CVE-1", "a", fixed=False)
    fixed = vulnerability("HIGH", "CVE-1", "b", fixed=True)
    found["vulnerability"]["packageIssue"] += fixed["vulnerability"]["packageIssue"]
    assert names([found], "HIGH") == ["CVE-1"]


def test_a_version_that_fixes_it_is_a_fix_where_the_service_does_not_say_so_in_a_field():
    found = vulnerability("HIGH", "CVE-1", "a", fixed=True)
    del found["vulnerability"]["packageIssue"][0]["fixAvailable"]
    assert names([found], "HIGH") == ["CVE-1"]


@pytest.mark.parametrize("severity", ["SEVERITY_UNSPECIFIED", "NEW"])
def test_unknown_severity_counts_as_the_highest(severity):
    assert names([vulnerability(severity, "CVE-1", "a", fixed=True)]) == ["CVE-1"]


def test_exception_ends_with_its_last_day():
    lines = ["# CVE-0", "", "CVE-1 2026-11-30 its program is not called", "CVE-2 2026-11-29 was so"]
    exceptions = gate.accepted(lines, TODAY)
    found = [vulnerability("CRITICAL", f"CVE-{i}", "zlib", fixed=True) for i in range(3)]
    assert names(found, exceptions=exceptions) == ["CVE-0", "CVE-2"]


@pytest.mark.parametrize("line", ["CVE-1", "CVE-1 2026-11-30", "CVE-1 soon it is", "CVE-1 x"])
def test_exception_needs_its_day_and_its_reason(line):
    with pytest.raises(ValueError, match=r"accepted-vulnerabilities\.txt:2: found 'CVE-1"):
        gate.accepted(["# ids", line], TODAY)


def test_exceptions_of_the_project_have_their_day_and_their_reason():
    gate.accepted((ROOT / "accepted-vulnerabilities.txt").read_text().splitlines(), TODAY)


@pytest.mark.parametrize("content", ["", "{}", "[{}]", '[{"vulnerability": {}}]', "null"])
def test_what_is_no_list_of_findings_passes_nothing(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    file = tmp_path / "found.json"
    file.write_text(content)
    assert gate.main(["gate", f"--found={file}", "--least=LOW"]) == 2
    assert capsys.readouterr().err


def of_the_service():
    """What the service answered for two images in 2023: one fault with a fix, one without.

    From the tests of two public programs that read them, influxdata/sedg (Debian's ncurses) and
    mchmarny/artifact-events (Ubuntu's libsdl2), with another project's name and fewer of the
    figures that make up a score. `list-vulnerabilities` prints messages of the same type.
    """
    return json.loads(Path(__file__).with_name("occurrences.json").read_text())


def test_answer_of_the_service_is_judged_by_its_effective_severity_and_its_fix():
    found = of_the_service()
    upgrade = "ncurses 6.2+20201114-2 -> 6.2+20201114-2+deb11u1"
    assert gate.blocking(found, "MINIMAL", set()) == [("MEDIUM", "CVE-2022-29458", upgrade)]
    assert names(found, "HIGH") == []
    assert names(found, "MINIMAL", ["CVE-2022-29458"]) == []


def test_findings_made_for_tests_have_the_fields_that_the_service_gives():
    with_fix, without = of_the_service()
    for real, fixed in ((with_fix, True), (without, False)):
        made = vulnerability("HIGH", "CVE-1", "zlib", fixed=fixed)
        assert made.keys() <= real.keys()
        assert made["vulnerability"].keys() <= real["vulnerability"].keys()
        (issue,), (real_issue,) = (e["vulnerability"]["packageIssue"] for e in (made, real))
        assert issue.keys() == real_issue.keys()
        assert issue["fixedVersion"].keys() - {"epoch"} == real_issue["fixedVersion"].keys()


def test_gate_names_each_upgrade(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    file = tmp_path / "found.json"
    found = vulnerability("HIGH", "CVE-1", "zlib", fixed=True)
    file.write_text(json.dumps([found]))
    assert gate.main(["gate", f"--found={file}", "--least=HIGH"]) == 1
    said = capsys.readouterr()
    assert said.out == "HIGH CVE-1: zlib 1:1.2.13.dfsg-1 -> 1:1.2.13.dfsg-2\n"
    assert "Not pushed" in said.err
