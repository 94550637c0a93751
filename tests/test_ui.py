"""The MLflow UI in a headless browser: what is tracked can be seen and compared."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from mlflow.tracking import MlflowClient
from playwright.sync_api import Browser, Page, sync_playwright
from small import ROOT, small_dataset

from optimize.store import EXPERIMENT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """A store with two compilations that differ in their trials."""
    folder = tmp_path_factory.mktemp("ui")
    data = small_dataset(folder / "data")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT)}
    for trials in ("3", "5"):
        subprocess.run(
            [
                *(sys.executable, "-m", "optimize", "compile", "--data", str(data), "--no-lm"),
                *("--trials", trials, "--out", str(folder / f"program-{trials}")),
            ],
            check=True, cwd=folder, env=environment, capture_output=True,
        )  # fmt: skip
    return uri


@pytest.fixture(scope="module")
def server(store, tmp_path_factory) -> Iterator[str]:
    """An MLflow server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = (tmp_path_factory.mktemp("log") / "server.log").open("w")
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        env=environment, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)
        log.close()


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


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _runs(store: str) -> tuple[str, list[str]]:
    """Return the experiment and its two compilations, the newest first."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.kind = 'compile'")
    return experiment.experiment_id, [run.info.run_id for run in found]


def test_the_experiment_and_its_runs_are_listed(server, store, page):
    page.goto(server + "/#/experiments")
    page.get_by_text(EXPERIMENT).first.wait_for()
    experiment, runs = _runs(store)
    assert len(runs) == 2
    page.goto(f"{server}/#/experiments/{experiment}/runs")
    page.get_by_text("compile data (quick)").first.wait_for()


def test_two_compilations_are_compared_side_by_side(server, store, page):
    experiment, runs = _runs(store)
    named = "%2C".join(f"%22{run}%22" for run in runs)
    page.goto(f"{server}/#/compare-runs?runs=%5B{named}%5D&experiments=%5B%22{experiment}%22%5D")
    for text in ("trials", "search_best_top1"):
        page.get_by_text(text, exact=True).first.wait_for()
    row = page.get_by_role("row").filter(has=page.get_by_text("trials", exact=True)).first
    assert row.inner_text().split() == ["trials", "5", "3"]
    _scrolled_to(page, "test_top1")


def _scrolled_to(page: Page, text: str) -> None:
    """Scroll the table of metrics, which is drawn only as far as it is seen, to a text."""
    page.locator(".ReactVirtualized__Grid").last.hover()
    for _ in range(40):
        if page.get_by_text(text, exact=True).count():
            break
        page.mouse.wheel(0, 150)
        page.wait_for_timeout(100)
    page.get_by_text(text, exact=True).first.wait_for()


@pytest.mark.parametrize("shown", ["plots", "tables", "program", "dataset_sha256"])
def test_plots_tables_and_the_program_are_artifacts_of_a_run(server, store, page, shown):
    experiment, runs = _runs(store)
    page.goto(f"{server}/#/experiments/{experiment}/runs/{runs[0]}/artifacts")
    page.get_by_text(shown, exact=True).first.wait_for()


def test_a_plot_is_drawn(server, store, page):
    experiment, runs = _runs(store)
    page.goto(f"{server}/#/experiments/{experiment}/runs/{runs[0]}/artifacts")
    page.get_by_text("plots", exact=True).first.click()
    page.get_by_text("reliability_test.png", exact=True).first.click()
    picture = page.locator("img[src^='blob:'], img[src*='get-artifact'], .image-container canvas")
    picture.first.wait_for()
    page.wait_for_function(
        "e => e.naturalWidth > 0 || e.width > 0", arg=picture.first.element_handle()
    )
