"""Pages, log and status of the studies: generated from results, and never in the way of a commit."""

import itertools
import re
import subprocess
from functools import cache

import pytest
from small import ROOT

from experiments import studies
from experiments.report import log, status
from experiments.report.render import pages
from experiments.support import results
from experiments.support.format import difference, p_value, percent, points
from experiments.support.terms import term


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


pages_of_now = cache(pages)  # one for each study, and each test looks at one


def test_every_study_has_a_page_and_no_page_lacks_a_study():
    written = {path.stem for path in results.FOLDER.glob("*.md")}
    assert written == set(studies.names())


@pytest.mark.parametrize("name", studies.names())
def test_a_page_is_what_its_result_says(name):
    text = pages_of_now()[results.FOLDER / f"{name}.md"]
    saved = (results.FOLDER / f"{name}.md").read_text()
    assert status.without_status(saved) == status.without_status(text), (
        "run python -m experiments.report"
    )
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", saved):
        assert (results.FOLDER / picture).is_file(), picture


def test_the_csv_beside_scaling_is_what_its_result_says():
    [(path, text)] = [
        (path, text) for path, text in pages_of_now().items() if path.suffix == ".csv"
    ]
    assert path.read_text() == text


def test_the_index_stays_short():
    assert len((ROOT / "experiments" / "README.md").read_bytes()) <= 10_000


def test_log_entries_have_their_fields_and_stay_short():
    text = log.LOG.read_text()
    found = log.entries(text)
    assert found
    for entry in found:
        assert tuple(entry.fields) == log.FIELDS, entry.name
        assert all(entry.fields.values()), entry.name
        words = sum(len(value.split()) for value in entry.fields.values())
        assert words <= log.MOST_WORDS, entry.name


@pytest.mark.parametrize("name", studies.names())
def test_the_log_gives_the_result_that_is_committed(name):
    entry = next(e for e in log.entries(log.LOG.read_text()) if e.name == name)
    [drafted] = log.entries(log.entry(name))
    for field in ("question", "result", "commit"):
        assert entry.fields[field] == drafted.fields[field], field


@pytest.fixture
def history(tmp_path, monkeypatch):
    """A repository with one result, and a function that commits a change to a file."""

    def commit(path, text=None):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        text = f"changed = {next(number)}\n" if text is None else text
        (tmp_path / path).write_text(text)
        for arguments in (["add", "-A"], ["commit", "-qm", path]):
            subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)
        head = ["git", "rev-parse", "--short=12", "HEAD"]
        return subprocess.run(
            head, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    number = itertools.count()
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    measured = commit(
        "program/a.py", '"""A."""\n\n\ndef one():\n    """Return 1."""\n    return 1\n'
    )
    monkeypatch.setattr(status, "_ROOT", tmp_path)
    monkeypatch.setattr(status, "latest", lambda name: {"commit": measured})
    return commit


def test_a_result_is_stale_once_program_or_its_study_changed(history):
    assert status.status("default") == "current"
    history("README.md")
    history("experiments/studies/peers.py")
    assert status.status("default") == "current"
    history("experiments/studies/default.py")
    assert status.status("default") == "stale"
    assert status.status("order") == "current"
    history("program/b.py")
    assert status.status("order") == "stale"


def test_a_result_is_current_while_only_prose_changed(history):
    history("program/a.py", '"""Another."""\n\n\ndef one():\n    # How?\n    return 1\n')
    assert status.status("default") == "current"
    history("program/a.py", '"""Another."""\n\n\ndef one():\n    """Return 2."""\n    return 2\n')
    assert status.status("default") == "stale"


@pytest.mark.parametrize("text", ['class A:\n    """Ask for {}."""\n', 'ASKED = "{}"\n'])
def test_what_an_lm_is_told_is_no_prose(history, monkeypatch, text):
    told = history("program/signatures.py", text.format("one"))
    monkeypatch.setattr(status, "latest", lambda name: {"commit": told})
    assert status.status("default") == "current"
    history("program/signatures.py", text.format("another"))
    assert status.status("default") == "stale"


def test_without_git_or_its_commit_the_status_is_unknown(history, tmp_path, monkeypatch):
    monkeypatch.setattr(status, "latest", lambda name: {"commit": "0" * 12})
    assert status.status("default") == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert status.status("default") == "unknown"
    assert status.status_line("default").startswith("Status: *unknown*")


def test_the_status_is_the_one_line_that_is_not_compared():
    page = (results.FOLDER / "default.md").read_text()
    other = re.sub(r"(?m)^Status: .*$", "Status: *current*: whatever.", page)
    assert other != page
    assert status.without_status(other) == status.without_status(page)
    assert status.without_status(page) != page


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (2.1e-171, "p < .001"),
        (0.0009, "p < .001"),
        (0.001, "p = .001"),
        (0.0316, "p = .032"),
        (1.0, "p = 1"),
    ],
)
def test_tiny_p_values_are_not_told_apart(p, shown):
    assert p_value(p) == shown


def test_differences_have_signs_intervals_and_may_be_turned_round():
    versus = {"difference": 0.0536, "ci95": [0.011, 0.1], "p": 0.0315}
    assert difference(versus) == "+5.4 [1.1, 10.0], p = .032"
    assert difference(versus, -1) == "-5.4 [-10.0, -1.1], p = .032"
    assert difference(None) == "-"
    assert (percent(0.857), points(-0.0001)) == ("85.7%", "0.0")


def test_stored_values_are_shown_in_the_fields_terms():
    assert term("lean without back") == "default channels without reverse MaxSim"
    assert term("logit + margin") == "posterior log-odds + posterior margin"
    assert term("banking77") == "banking77"
