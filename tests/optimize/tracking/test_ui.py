"""The MLflow UI in a headless browser: what is tracked can be seen and compared."""

import os
from collections.abc import Iterator

import mlflow
import pytest
from browser import CHROMIUM, NEEDS_BROWSER, keep_picture
from mlflow.tracking import MlflowClient
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from recorded import oracle, recorded_lm
from small import ROOT, HashedWords, small_dataset
from tracking import SECONDS, empty_store, mlflow_server

from experiments.report.publish import publish
from optimize.data.dataset import Dataset, load_dataset
from optimize.pipeline import compile as compiling
from optimize.pipeline.compile import Options, compile_program
from optimize.tracking.promote import promote
from optimize.tracking.registry import Models
from optimize.tracking.store import EXPERIMENT
from optimize.tracking.view import view_path
from task_delegator.tracing import FIRST, VERDICT

PUBLISHED = ("order", "prompting")
NAMES = ("data, model, minilm-tuned, labeled-few-shot", "data, no LM, minilm-tuned")
WIDE: ViewportSize = {"width": 2600, "height": 1200}  # tables draw the columns that are seen

pytestmark = NEEDS_BROWSER


def apt_pupil(dataset: Dataset):
    """Answer with the first slot, but with the right one where demos are shown."""
    knows = oracle(dataset)

    def answer(prompt: str) -> str:
        shown = prompt.count("[[ ## candidates ## ]]") > 1 or "[[ ## rivals ## ]]" in prompt
        return knows(prompt) if shown else '{"slot": "A"}'

    return answer


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[str]:
    """A store with two compilations, without and with an LM, and two experiments' results."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    dataset = load_dataset(small_dataset(folder / "data"))
    lm, _ = recorded_lm(apt_pupil(dataset))
    uri = empty_store(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.chdir(folder)
        patch.setattr(compiling, "embedder", lambda spec: HashedWords())
        compile_program(dataset, Options(folder / "without", trials=3), None)
        taught = Options(
            folder / "with", trials=5, lm="recorded/model", optimizer="labeled-few-shot",
            max_lm_calls=160, target_precision=1.0,
        )  # fmt: skip
        compile_program(dataset, taught, lm)
        patch.setattr("task_delegator.artifact.models._packaged", lambda *_: HashedWords())
        for name in ("without", "with"):
            promote(str(folder / name), dataset, Models(), None, force=True)
        for name in PUBLISHED:
            publish(name)
        yield uri
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server(store, tmp_path_factory) -> Iterator[str]:
    with mlflow_server(store, tmp_path_factory.mktemp("server")) as server:
        yield server.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, tmp_path) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1600, "height": 1200})
    page.set_default_timeout(SECONDS * 1000)
    yield page
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    page.close()


def _runs(store: str, kind: str = "compile") -> tuple[str, list[str]]:
    """Return the experiment and its two compilations, or results, the newest first."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'")
    return experiment.experiment_id, [run.info.run_id for run in found]


def test_the_experiment_and_its_runs_are_listed(server, store, page):
    page.goto(server + "/#/experiments")
    page.get_by_text(EXPERIMENT).first.wait_for()
    page.get_by_text("Programs side by side").first.wait_for()
    experiment, runs = _runs(store)
    assert len(runs) == 2
    page.goto(f"{server}/#/experiments/{experiment}/runs")
    for name in (*NAMES, *(f"experiment {name}" for name in PUBLISHED)):
        page.get_by_text(name).first.wait_for()


def test_two_compilations_are_compared_side_by_side(server, store, page):
    _compare(server, page, *_runs(store))
    for text in ("trials", "search_best_top1"):
        page.get_by_text(text, exact=True).first.wait_for()
    for name, values in {
        "trials": ["5", "3"],
        "lm": ["recorded/model", "none"],
        "optimizer": ["labeled-few-shot", "none"],
        "target_precision": ["1.0", "0.95"],
    }.items():
        row = page.get_by_role("row").filter(has=page.get_by_text(name, exact=True)).first
        assert row.inner_text().split() == [name, *values]
    _scrolled_to(page, "test_top1")


def test_two_experiments_are_compared_side_by_side(server, store, page):
    _compare(server, page, *_runs(store, "experiment"))
    page.get_by_text("experiment", exact=True).first.wait_for()
    row = page.get_by_role("row").filter(has=page.get_by_text("experiment", exact=True)).first
    assert row.inner_text().split() == ["experiment", *reversed(PUBLISHED)]


def _compare(server: str, page: Page, experiment: str, runs: list[str]) -> None:
    named = "%2C".join(f"%22{run}%22" for run in runs)
    page.goto(f"{server}/#/compare-runs?runs=%5B{named}%5D&experiments=%5B%22{experiment}%22%5D")


def _scrolled_to(page: Page, text: str) -> None:
    """Scroll the table of metrics, which is drawn only as far as it is seen, to a text."""
    page.locator(".ReactVirtualized__Grid").last.hover()
    for _ in range(40):
        if page.get_by_text(text, exact=True).count():
            break
        page.mouse.wheel(0, 150)
        page.wait_for_timeout(100)
    page.get_by_text(text, exact=True).first.wait_for()


@pytest.mark.parametrize("shown", ["plots", "tables", "program", "dataset_sha256", "config.json"])
def test_plots_tables_and_the_program_are_artifacts_of_a_run(server, store, page, shown):
    experiment, runs = _runs(store)
    page.goto(f"{server}/#/experiments/{experiment}/runs/{runs[0]}/artifacts")
    page.get_by_text(shown, exact=True).first.wait_for()


@pytest.mark.parametrize(
    ("kind", "plot"),
    [
        ("compile", "reliability_test.png"),
        ("compile", "search.png"),
        ("compile", "trials.png"),
        ("experiment", "pareto.png"),
    ],
)
def test_a_plot_is_drawn(server, store, page, kind, plot):
    _open_artifact(server, page, *_runs(store, kind), "plots", plot)
    picture = page.locator("img[src^='blob:'], img[src*='get-artifact'], .image-container canvas")
    picture.first.wait_for()
    page.wait_for_function(
        "e => e.naturalWidth > 0 || e.width > 0", arg=picture.first.element_handle()
    )


def test_the_rows_of_an_experiment_are_a_table(server, store, page):
    _open_artifact(server, page, *_runs(store, "experiment"), "tables", "rows.json")
    page.get_by_text("shortlist and samples", exact=True).first.wait_for()


def test_the_view_that_make_ui_names_shows_the_programs_and_no_other_run(server, store, page):
    experiment, _ = _runs(store)
    page.set_viewport_size(WIDE)
    page.goto(server + view_path(experiment))
    page.get_by_text("Programs", exact=True).first.wait_for()
    for column in ("test_top1", "test_assigned", "embedder"):
        page.get_by_text(column, exact=True).first.wait_for()
    for name in NAMES:
        page.get_by_text(name, exact=True).first.wait_for()
    assert page.get_by_text(f"experiment {PUBLISHED[0]}").count() == 0
    _keep_picture(page, "programs", {"width": 1800, "height": 620})


def _keep_picture(page: Page, name: str, size: ViewportSize) -> None:
    if os.environ.get("PICTURES"):
        page.get_by_role("button", name="Close").last.click()  # the assistant beside it
        keep_picture(page, name, size)


def test_each_program_is_an_agent_version_with_metrics_by_dataset(server, store, page):
    experiment, _ = _runs(store)
    page.set_viewport_size(WIDE)
    page.goto(f"{server}/#/experiments/{experiment}/models")
    for text in ("Ready", "data:test", "delegator", *(n.replace(", ", "-") for n in NAMES)):
        page.get_by_text(text.replace(" ", "-")).first.wait_for()
    newest = MlflowClient(store).search_logged_models([experiment])[0]
    page.goto(f"{server}/#/experiments/{experiment}/models/{newest.model_id}")
    for text in ("data:validation", "recorded/model", "test_top1", "labeled-few-shot"):
        page.get_by_text(text).first.wait_for()
    page.get_by_text("search_best_top1").first.wait_for(state="detached")


def test_the_prompt_is_compared_before_and_after_it_was_optimized(server, store, page):
    experiment, runs = _runs(store)
    page.goto(f"{server}/#/experiments/{experiment}/runs/{runs[0]}")
    page.get_by_text("delegator.classify.select (v2)").first.wait_for()
    page.goto(f"{server}/#/experiments/{experiment}/prompts")
    page.get_by_text("delegator.classify.select").first.click()
    for text in ("champion", "previous", "labeled-few-shot on data: the LM adds"):
        page.get_by_text(text).first.wait_for()
    page.get_by_text("Compare", exact=True).first.click()
    page.get_by_text("Comparing version 2 with version 1").first.wait_for()
    page.get_by_text("Text", exact=True).first.click()
    page.get_by_text("[[ ## demo 2 ## ]]").first.wait_for()


def test_a_run_names_its_program_and_its_prompts(server, store, page):
    experiment, runs = _runs(store)
    page.goto(f"{server}/#/experiments/{experiment}/runs/{runs[0]}")
    for heading, shown in {
        "Logged models": NAMES[0].replace(", ", "-"),
        "Registered prompts": "delegator.classify.select (v2)",
    }.items():
        page.get_by_text(heading).first.wait_for()
        page.get_by_text(shown).first.wait_for()


def test_the_judge_shows_what_it_is_told_and_is_not_run(server, store, page):
    experiment, _ = _runs(store)
    page.goto(f"{server}/#/experiments/{experiment}/judges")
    page.get_by_text("Evaluating traces: OFF").wait_for()
    page.get_by_text(VERDICT, exact=True).first.click()
    for text in ("as a careful person would", FIRST):
        page.locator("textarea").filter(has_text=text).first.wait_for()
    assert page.locator("input[value='openai:/gpt-4.1-mini']").count() == 1
    _keep_picture(page, "judge", {"width": 1500, "height": 760})


def test_the_candidates_of_the_prompt_are_children_of_the_run(server, store, page):
    experiment, runs = _runs(store)
    wanted = f"tags.stage = 'candidate' and tags.`mlflow.parentRunId` = '{runs[0]}'"
    (child,) = MlflowClient(store).search_runs([experiment], wanted)
    page.goto(f"{server}/#/experiments/{experiment}/runs/{child.info.run_id}")
    page.get_by_text("candidate 0").first.wait_for()
    page.get_by_text("labeled-few-shot").first.wait_for()


def test_traces_of_a_run_are_listed_without_their_texts(server, store, page):
    experiment, runs = _runs(store)
    page.goto(f"{server}/#/experiments/{experiment}/runs/{runs[0]}/traces")
    wanted = page.get_by_text("characters>").first
    seen = ""
    for _ in range(2):  # the page asks once; a server under load may not have answered
        try:
            return wanted.wait_for()
        except PlaywrightTimeout:
            seen = page.locator("body").inner_text()
            page.reload()
    pytest.fail(f"no trace is listed: {seen}")


def _open_artifact(
    server: str, page: Page, experiment: str, runs: list[str], folder: str, name: str
) -> None:
    """Open an artifact of the first of the runs."""
    page.goto(f"{server}/#/experiments/{experiment}/runs/{runs[0]}/artifacts")
    page.get_by_text(folder, exact=True).first.click()
    page.get_by_text(name, exact=True).first.click()
