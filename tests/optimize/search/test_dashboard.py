"""What Optuna and its dashboard show of a study: trials, settings, attributes, a table of each."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, download_artifact, get_all_artifact_meta
from small import small_dataset
from tracking import SECONDS

from optimize.data.dataset import load_dataset
from optimize.search.retrieval import search
from optimize.search.scored import ScoredRequests
from optimize.search.study import StudyLocation, keep_table, open_study
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues

TRIALS = 20
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> StudyLocation:
    """A search of retrieval with a database and a folder for tables."""
    folder = tmp_path_factory.mktemp("dashboard")
    dataset = load_dataset(small_dataset(folder / "data"))
    index = Delegator(dataset.registry).retrieve.library.index({})
    scored = ScoredRequests(index, dataset.splits["validation"])
    storage, tables = f"sqlite:///{folder / 'study.db'}", folder / "tables"
    location = StudyLocation("retrieval", storage, artifacts=tables)
    search(scored, [KnobValues()], trials=TRIALS, seed=0, location=location)
    return location


def test_each_trial_has_its_constraint_and_a_table_of_ranks(place, tmp_path):
    storage = optuna.storages.get_storage(place.storage)
    study = optuna.load_study(study_name=place.name, storage=storage)
    for trial in study.trials:
        assert set(trial.constraints) == {"recall"}
        (kept,) = get_all_artifact_meta(trial, storage=storage)
        assert kept.filename == "ranks.csv"
        path = tmp_path / f"{trial.number}.csv"
        download_artifact(
            artifact_store=FileSystemArtifactStore(place.artifacts),
            file_path=str(path),
            artifact_id=kept.artifact_id,
        )
        head, *rows = [line.split(",") for line in path.read_text().splitlines()]
        assert head == ["request", "rank"]
        top1 = sum(rank == "1" for _, rank in rows) / len(rows)
        assert top1 == pytest.approx(trial.user_attrs["metrics"]["top1"])


def test_a_folder_of_artifacts_that_cannot_be_made_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--artifacts .*file: "):
        open_study(StudyLocation("s", artifacts=tmp_path / "file"), [], seed=0)


def test_a_folder_of_artifacts_that_takes_no_file_is_bad_input(tmp_path):
    location = StudyLocation("s", artifacts=tmp_path / "tables")
    trial = open_study(location, [], seed=0).ask()
    (tmp_path / "tables").rmdir()
    with pytest.raises(InputError, match=r"--artifacts .*tables: No such file or directory; "):
        keep_table(location.artifacts, trial, "ranks", {"request": [0], "rank": [1]})


@pytest.fixture
def dashboard(place, tmp_path) -> Iterator[str]:
    """Serve the study by optuna-dashboard."""
    pytest.importorskip("optuna_dashboard", reason="pip install optuna-dashboard")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(str(Path(sys.executable).with_name("optuna-dashboard")), str(place.storage)),
        *("--artifact-dir", str(place.artifacts), "--port", str(port)),
    ]
    url, deadline = f"http://127.0.0.1:{port}/dashboard", time.monotonic() + SECONDS
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline
                assert server.poll() is None
                time.sleep(0.5)
        yield url
        server.kill()
        server.wait()


@pytest.mark.xdist_group("browser")
@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_the_dashboard_shows_trials_settings_attributes_and_table(place, dashboard, tmp_path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        page.set_default_timeout(SECONDS * 1000)
        try:
            page.goto(dashboard)
            page.get_by_text(place.name).first.click()
            for text in ("Best Trial", "Hyperparameter Importance", "sample_best"):
                page.get_by_text(text).first.wait_for()
            if kept := os.environ.get("PICTURES"):
                page.wait_for_timeout(3000)  # what moves comes to rest
                page.screenshot(path=Path(kept) / "optuna_dashboard.png")
            page.goto(f"{dashboard}/studies/1/trials?numbers=0")
            for text in ("Trial 0", "bm25_k1", "Complete", "recall_at_k", "ranks.csv"):
                page.get_by_text(text).first.wait_for()
            assert page.get_by_text("Infeasible").count() == 0  # it reads constraints of Optuna 4
        finally:
            page.screenshot(path=tmp_path / "page.png", full_page=True)
            browser.close()
