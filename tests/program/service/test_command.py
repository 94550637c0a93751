"""The commands serve and token, as processes; the page in a browser."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright
from services import serving
from small import office_registry

from task_delegator.cli import main
from task_delegator.feedback import read_feedback
from task_delegator.service import read_tokens, token_sha256

TASK = "Where is my refund?"
DOES = {agent.name: agent.description for agent in office_registry()}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_a_token_is_shown_once_and_kept_as_a_digest(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["token", "web", "--permissions", "billing.read,billing.write"]) == 0
    shown = capsys.readouterr().out.strip()
    assert shown not in Path("tokens.json").read_text()
    (token,) = read_tokens("tokens.json")
    assert (token.name, token.sha256) == ("web", token_sha256(shown))
    assert token.permissions == {"billing.read", "billing.write"}
    assert main(["token", "web"]) == 2  # the name is taken
    assert main(["token", "mail"]) == 0
    assert read_tokens("tokens.json")[1].permissions is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "one at least"),
        ('[{"name": "a", "sha256": "12", "permissions": null}]', "sha256"),
        (json.dumps([{"name": "a", "sha256": "0" * 64}]), "permissions"),
        (json.dumps([{"name": "a", "sha256": "0" * 64, "permissions": None}] * 2), "one name"),
    ],
)
def test_a_file_of_tokens_is_checked(tmp_path, capsys, content, says):
    (tmp_path / "tokens.json").write_text(content)
    office_registry().save(tmp_path / "agents.json")
    options = ["--agents", str(tmp_path / "agents.json"), "--tokens", str(tmp_path / "tokens.json")]
    assert main(["serve", *options]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--feedback", "--decisions"])
def test_a_service_does_not_append_to_its_registry_or_to_nowhere(option, tmp_path, capsys):
    agents = tmp_path / "agents.json"
    agents.write_text('[{"name": "A"}]')
    assert main(["serve", "--agents", str(agents), option, str(agents)]) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert main(["serve", "--agents", str(agents), option, str(tmp_path / "no" / "f")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert main(["serve", "--agents", str(agents), option, str(tmp_path)]) == 2
    assert "cannot be written: Is a directory" in capsys.readouterr().err
    same = tmp_path / "same.jsonl"
    both = ["--feedback", str(same), "--decisions", str(same)]
    assert main(["serve", "--agents", str(agents), *both]) == 2
    assert "are files of their own" in capsys.readouterr().err
    assert agents.read_text() == '[{"name": "A"}]'


@pytest.mark.slow
@pytest.mark.fault(
    "SIGTERM", "`serve`", holds="Tasks under way are finished, feedback is on the disk."
)
def test_a_service_that_is_told_to_stop_finishes_its_tasks(tmp_path):
    with serving(tmp_path, "--feedback", "feedback.jsonl") as (address, process):
        given = httpx.post(f"{address}/delegate", json={"task": TASK}).json()
        said = {"request_id": given["request_id"], "correct_agent": "Refunds"}
        assert httpx.post(f"{address}/feedback", json=said).status_code == 204
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) in (0, -signal.SIGTERM)
    assert [row.correct_agent for row in read_feedback(tmp_path / "feedback.jsonl")] == ["Refunds"]


@pytest.mark.slow
@pytest.mark.fault(
    "kill -9",
    "`serve --decisions --feedback`",
    holds="What waited for a person waits again after the next start.",
)
def test_what_waits_for_a_person_outlives_a_service_that_is_killed(tmp_path):
    options = "--feedback", "feedback.jsonl", "--decisions", "decisions.jsonl"
    log = tmp_path / "decisions.jsonl"
    with serving(tmp_path, *options) as (address, process):
        ids = [
            httpx.post(f"{address}/delegate", json={"task": task}).json()["request_id"]
            for task in (TASK, "Book a train")
        ]
        said = {"request_id": ids[0], "correct_agent": "Refunds"}
        assert httpx.post(f"{address}/feedback", json=said).status_code == 204
        deadline = time.monotonic() + 10
        while len(log.read_text().splitlines()) < 2:  # a thread writes them
            assert time.monotonic() < deadline
        process.kill()
        process.wait(timeout=40)
    with serving(tmp_path, *options) as (address, _):
        [waiting] = httpx.get(f"{address}/reviews").json()
        assert (waiting["task"], waiting["delegation"]["request_id"]) == ("Book a train", ids[1])
        said = {"request_id": ids[1], "correct_agent": "Travel"}
        assert httpx.post(f"{address}/feedback", json=said).status_code == 204
        assert httpx.get(f"{address}/reviews").json() == []


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.fault(
    "SIGTERM",
    "`serve`, who asks `/readyz`",
    holds="The connection is refused, while tasks under way are finished.",
)
def test_a_service_that_is_told_to_stop_is_not_ready_while_it_finishes(tmp_path):
    """A load balancer takes it out: a port that is closed fails its probe as 503 does."""
    body = json.dumps({"task": TASK}).encode()
    head = f"POST /delegate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with serving(tmp_path) as (address, process):
        where = ("127.0.0.1", int(address.rpartition(":")[2]))
        with socket.create_connection(where, timeout=30) as under_way:
            under_way.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body[:5])
            assert is_ready(address)  # so the other was taken, too
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 10
            while is_ready(address):
                assert time.monotonic() < deadline
            under_way.sendall(body[5:])
            assert under_way.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert process.wait(timeout=40) in (0, -signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
@pytest.mark.heavy
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_the_page_delegates_and_records_who_was_right(tmp_path):
    options = "--feedback", "feedback.jsonl"
    with serving(tmp_path, *options) as (address, _), sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 720})
        faults = []
        page.on("pageerror", lambda fault: faults.append(fault))
        page.goto(address)
        page.fill("#task", TASK)
        page.click("button[value=delegate]")
        page.wait_for_selector("#answer article")
        first = page.inner_text("#answer tr >> nth=0")
        assert "Refunds" in first
        assert DOES["Refunds"] in first
        assert "its description +" in first
        assert "Confidence 9" in page.inner_text("#answer")
        page.fill("#task", "Please book <b>a train</b> to Porto")
        page.click("button[value=delegate]")
        expect(page.locator("#reviews > li")).to_have_count(2)
        assert "<b>a train</b>" in page.inner_text("#reviews")  # shown as text
        page.set_viewport_size({"width": 375, "height": 720})
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.set_viewport_size({"width": 1200, "height": 720})
        if folder := os.environ.get("PICTURES"):
            page.screenshot(path=Path(folder) / "page.png", full_page=True)
        page.click("h1")
        page.keyboard.press("Alt+1")
        page.keyboard.press("1")
        page.keyboard.press("0")  # at once: it is for the next
        expect(page.locator("#reviews > li")).to_have_count(0)
        other = page.locator("#answer .another input")
        other.fill("Nobody Is Called So")
        other.press("Enter")
        expect(page.locator("#answer .problem")).to_contain_text("no agent that you may use")
        other.fill("Events")
        other.press("Enter")
        expect(page.locator("#answer")).to_contain_text("Recorded")
        browser.close()
    assert not faults
    rows = list(read_feedback(tmp_path / "feedback.jsonl"))
    assert [row.correct_agent for row in rows] == ["Refunds", "Events"]  # which was nobody first


@pytest.mark.slow
@pytest.mark.fault("overload", "any request by the API's document", holds="No 5xx.")
def test_no_request_that_its_document_allows_or_forbids_breaks_it(tmp_path):
    """Schemathesis makes requests of the OpenAPI document, right ones and wrong ones."""
    (tmp_path / "tokens.json").write_text(
        json.dumps([{"name": "fuzz", "sha256": token_sha256("of fuzz"), "permissions": None}])
    )
    # Too many texts can be too large a request, too.
    (tmp_path / "schemathesis.toml").write_text(
        '[checks]\nnegative_data_rejection.expected-statuses = ["400", "401", "413"]\n'
    )
    with serving(tmp_path, "--feedback", "feedback.jsonl", "--tokens", "tokens.json") as (
        address,
        _,
    ):
        command = [Path(sys.executable).with_name("schemathesis"), "run", f"{address}/openapi.json"]
        options = [
            "--header",
            "Authorization: Bearer of fuzz",
            "--max-examples",
            "25",
            "--seed",
            "1",
        ]
        found = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-4000:]
