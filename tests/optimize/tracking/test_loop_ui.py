"""The loop in MLflow's pages: evaluations side by side, traces, a review that is answered there."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import browser
import mlflow
import pytest
from browser import NEEDS_BROWSER, keep_picture
from mlflow.tracking import MlflowClient
from playwright.sync_api import Page
from recorded import recorded_lm
from served import TASKS, serve, traces_of
from small import only, small_dataset
from tracking import empty_store, mlflow_server

from optimize.__main__ import main
from optimize.data import load_dataset
from optimize.evaluation import compare_outcomes, evaluate_all
from optimize.tracking import track_evaluations
from optimize.tracking.store import connect
from task_delegator.artifact import load
from task_delegator.tracing import FIRST
from task_delegator.tracing.mlflow_store import QUEUE

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """A store with evaluations of two programs and traces of a service, the first assessed."""
    folder = tmp_path_factory.mktemp("loop")
    data = small_dataset(folder / "data")
    uri = empty_store(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.chdir(folder)
        dataset = load_dataset(data)
        programs = [
            (name, load("default", dataset.registry, allow_uncalibrated=True))
            for name in ("default", "descriptions")
        ]
        programs[1][1].knobs.values = only("description")
        done = [(n, evaluate_all(p, dataset, "validation", name=n)) for n, p in programs]
        answers = [(name, each.outcomes) for name, each in done]
        comparison = compare_outcomes(answers, dataset, "validation")
        track_evaluations(done, comparison, dataset, "validation")
        lm, _ = recorded_lm(lambda prompt: '{"slot": "A"}')
        given, _ = serve(uri, data, folder, lm=lm)
        (folder / "given.json").write_text(json.dumps(given))
        yield folder
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory) -> Iterator[str]:
    uri = f"sqlite:///{folder}/mlflow.db"
    with mlflow_server(uri, tmp_path_factory.mktemp("server")) as server:
        yield server.url


@pytest.fixture
def page(server, folder) -> Iterator[Page]:
    with browser.opened(1800, 900) as page:
        yield page


@pytest.fixture
def opened(server, page) -> Callable[[str], Page]:
    """Open a page of the experiment, without the assistant beside it."""
    experiment = connect()

    def open_page(name: str) -> Page:
        browser.without_assistant(page, server, experiment)
        page.goto(f"{server}/#/experiments/{experiment}/{name}")
        return page

    return open_page


def test_the_split_is_a_dataset(opened):
    page = opened("datasets")
    page.get_by_text("data/validation@").first.click()
    page.get_by_text('"request"').first.wait_for()
    keep_picture(page, "dataset")


def test_two_programs_are_compared_request_by_request(opened):
    page = opened("evaluation-runs")
    page.get_by_text("descriptions on data/validation").first.wait_for()
    for box in page.get_by_role("checkbox").all():
        box.click()
    page.get_by_role("button", name="Actions").first.click()
    page.get_by_role("menuitem", name="Compare").click()
    page.get_by_text("Comparing").first.wait_for()
    page.get_by_text("validation/").first.wait_for()
    for column in ("agent", "compared", "confidence_bin"):
        page.get_by_text(column, exact=True).first.wait_for()
    page.get_by_role("button", name="Sort").first.click()
    page.get_by_text("compared", exact=True).last.click()
    page.get_by_text(re.compile("^alone (right|wrong)$")).nth(1).wait_for()
    keep_picture(page, "compare")


def test_a_trace_shows_its_stages_tokens_and_what_a_person_said(opened, folder):
    given = json.loads((folder / "given.json").read_text())
    (trace,) = traces_of(given[:1], connect())
    page = opened(f"traces?traceId={trace.info.trace_id}")
    for stage in ("Retrieve", "ExpandQuery", "ClassifyAgent", "AssessConfidence", "Decide", "LM"):
        page.get_by_text(stage, exact=True).first.wait_for()
    page.get_by_text("tokens").first.wait_for()
    page.locator("button").filter(has_text="Assess").last.click()
    page.get_by_text("verdict", exact=True).first.wait_for()
    page.get_by_text("another agent", exact=True).first.wait_for()
    keep_picture(page, "trace")


def test_a_review_that_is_answered_on_the_page_comes_back_through_merge(
    opened, folder, monkeypatch, capsys
):
    page = opened("review-queue")
    page.get_by_text(QUEUE).first.click()
    page.get_by_role("button", name="Start review").click()
    page.get_by_text("Who should do this task?").wait_for()
    page.get_by_role("combobox").last.click()
    page.get_by_role("option", name=FIRST).click()
    keep_picture(page, "review")
    answered = page.url.rpartition("selectedItemId=")[2]
    page.get_by_role("button", name="Submit").click()
    page.get_by_text(re.compile("^2 of . reviewed")).wait_for()
    monkeypatch.chdir(folder)
    trace = MlflowClient().get_trace(answered)
    request_id = trace.info.tags["request_id"]
    given = json.loads((folder / "given.json").read_text())
    (place,) = [i for i, one in enumerate(given) if one["request_id"] == request_id]
    command = ["merge", "--assessments", "--decisions", "decisions.jsonl", "--data", "data"]
    capsys.readouterr()
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["added"] == 2
    labels = {r.text: r.expected for r in load_dataset("data").splits["train"]}
    assert labels[TASKS[place]] == given[place]["top3"][0]["name"]
