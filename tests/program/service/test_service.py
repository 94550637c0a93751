"""The service over HTTP: who may ask, what is answered, what feedback joins to.

Long because every route is asked by callers with and without limits.
"""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families
from small import HashedWords, office_registry, public
from starlette.testclient import TestClient

from task_delegator.choice import Choice
from task_delegator.cli import main
from task_delegator.delegation import Evidence
from task_delegator.delegator import Delegator
from task_delegator.errors import EmbedderError, InputError, LMError
from task_delegator.feedback import read_feedback
from task_delegator.registry import Agent, Watch
from task_delegator.service import (
    Access,
    Caller,
    Desk,
    Token,
    create_app,
    listen,
    serve,
    token_sha256,
)
from task_delegator.service.reviews import Given

TASK = "the refund of my order is late"
HERE = "http://127.0.0.1"


def hidden() -> Agent:
    return Agent(
        name="Fraud", description="refund order late", required_permissions=frozenset({"fraud"})
    )


@pytest.fixture
def desk(tmp_path):
    registry = office_registry()
    registry.add(hidden())
    return Desk(Delegator(registry, HashedWords()), tmp_path / "feedback.jsonl")


@pytest.fixture
def client(desk):
    with TestClient(create_app(desk), base_url=HERE) as client:
        yield client


@pytest.fixture
def guarded(desk):
    """A service with two callers: ada may use everything, bob no agent that needs a permission."""
    tokens = [
        Token(name="ada", sha256=token_sha256("of ada"), permissions=None),
        Token(name="bob", sha256=token_sha256("of bob"), permissions=frozenset()),
    ]
    with TestClient(create_app(desk, Access(tokens)), base_url="https://delegator.example") as c:
        yield c


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer of {name}"}


def test_the_service_answers_what_the_program_does(client, desk):
    answer = client.post("/delegate", json={"task": TASK, "permissions": []}).json()
    alone = desk.delegator(TASK, permissions=())
    assert answer["decision"] == alone.decision
    assert [one["name"] for one in answer["top3"]] == [c.name for c in alone.top3]
    assert answer["confidence"] == pytest.approx(alone.confidence, abs=1e-9)
    assert answer["evidence"] is None


def test_evidence_is_given_when_it_is_asked_for(client):
    answer = client.post("/delegate", json={"task": TASK, "evidence": True}).json()
    assert set(answer["evidence"]["retrieval"]["posterior"]) >= {x["name"] for x in answer["top3"]}


@pytest.mark.parametrize(
    "wishes",
    [
        {"exclude": ["Refunds", "Fraud"]},
        {"include": ["Events"], "k": 6},
        {"k": 5},
        {"history": ["my salary"], "task": "and it?"},
    ],
)
def test_the_wishes_of_a_call_are_those_of_the_program(client, desk, wishes):
    body = {"task": TASK, **wishes}
    # The first task of a caller is read by itself, the next together with others.
    answers = [client.post("/delegate", json=body).json() for _ in range(2)]
    task = body.pop("task")
    alone = desk.delegator(task, **body)
    for answer in answers:
        assert [one["name"] for one in answer["ranking"]] == [c.name for c in alone.ranking]
        assert answer["top3"] == answer["ranking"][:3]
        assert answer["agent"] == alone.agent
        assert answer["calibrated_by"] == alone.evidence.calibrated_by
        assert answer["several"] == pytest.approx(alone.several)


def test_a_plan_names_nobody_who_is_excluded(client):
    body = {"task": TASK, "exclude": ["Refunds", "Fraud"]}
    (step,) = client.post("/plan", json=body).json()["steps"]
    assert step["delegation"]["agent"] not in body["exclude"]
    refused = client.post("/plan", json={**body, "history": ["x"]})
    assert refused.status_code == 400
    assert "history" in refused.json()["detail"]


def test_a_plan_has_a_request_id_for_each_step(client, desk):
    task = "my salary is late and then send the invoice again"
    desk.delegator.knobs.set({"split.threshold": 0.0})
    steps = client.post("/plan", json={"task": task}).json()["steps"]
    assert [step["task"] for step in steps] == [
        step.task for step in desk.delegator.plan(task).steps
    ]
    assert len({step["delegation"]["request_id"] for step in steps}) == len(steps) == 2


def test_search_answers_in_the_shape_of_ard(client):
    body = {"query": {"text": TASK}, "federation": "none", "pageSize": 4}
    results = client.post("/search", json=body).json()["results"]
    scores = [entry["score"] for entry in results]
    assert len(results) == 4
    assert scores == sorted(scores, reverse=True)
    assert all(isinstance(score, int) and 0 <= score <= 100 for score in scores)
    assert results[0]["identifier"].startswith("urn:air:")


def test_what_search_finds_are_entries_as_their_schema_says(client, desk):
    jsonschema = pytest.importorskip("jsonschema")
    schema = public("cards") / "raw" / "ard" / "spec_schemas_ai-catalog.schema.json"
    for name, samples in (("None", ()), ("One", ("order",)), ("Many", ("order",) * 9)):
        samples = tuple(f"{sample} {number}" for number, sample in enumerate(samples))
        desk.delegator.registry.add(Agent(name=name, user_request_samples=samples))
    body = {"query": {"text": "order"}, "pageSize": 100}
    results = client.post("/search", json=body).json()["results"]
    assert {entry["displayName"] for entry in results} >= {"None", "One", "Many"}
    entries = [
        {key: value for key, value in entry.items() if key not in ("score", "source")}
        for entry in results
    ]
    catalog = {"specVersion": "1.0", "host": {"displayName": "x"}, "entries": entries}
    jsonschema.validate(catalog, json.loads(schema.read_text(encoding="utf-8")))


def test_without_a_known_token_nothing_is_told(guarded):
    asked = [
        guarded.post("/delegate", json={"task": TASK}),
        guarded.post("/plan", json={"task": TASK}),
        guarded.post("/search", json={"query": {"text": TASK}}),
        guarded.post("/feedback", json={"request_id": "1", "correct_agent": None}),
        *(guarded.get(path) for path in ("/agents", "/reviews", "/metrics")),
        guarded.get("/agents", headers={"Authorization": "Bearer of eve"}),
        guarded.get("/agents", headers={"Authorization": "Basic of ada"}),
    ]
    assert [answer.status_code for answer in asked] == [401] * len(asked)
    assert all(set(answer.json()) == {"detail"} for answer in asked)
    assert guarded.get("/healthz").status_code == guarded.get("/").status_code == 200


@pytest.mark.parametrize("first", ["of bob", "of ada", "of eve", ""])
def test_who_sends_two_tokens_is_nobody(guarded, first):
    """What stands in front may have checked the other one."""
    both = [("Authorization", f"Bearer {token}") for token in (first, "of ada")]
    for answer in (
        guarded.get("/agents", headers=both),
        guarded.post("/delegate", json={"task": TASK}, headers=both),
    ):
        assert answer.status_code == 401
        assert answer.json() == {"detail": "send one known token: Authorization: Bearer ..."}


def test_a_caller_sees_nothing_of_an_agent_that_its_token_does_not_permit(guarded):
    ada, bob = bearer("ada"), bearer("bob")
    assert "Fraud" in {agent["name"] for agent in guarded.get("/agents", headers=ada).json()}
    body = {"task": TASK, "permissions": ["fraud"], "evidence": True}
    answers = [
        guarded.get("/agents", headers=bob),
        guarded.post("/delegate", json=body, headers=bob),
        guarded.post("/plan", json=body, headers=bob),
        guarded.post("/search", json={"query": {"text": TASK}}, headers=bob),
        guarded.get("/reviews", headers=bob),
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert not [answer.url for answer in answers if "Fraud" in answer.text]


def test_feedback_joins_the_delegation_by_its_request_id(client, tmp_path):
    given = client.post("/delegate", json={"task": TASK}).json()
    said = {"request_id": given["request_id"], "correct_agent": "Payroll"}
    assert client.post("/feedback", json=said).status_code == 204
    (row,) = read_feedback(tmp_path / "feedback.jsonl")
    assert (row.task, row.correct_agent, row.source) == (TASK, "Payroll", "local")
    assert row.confidence == pytest.approx(given["confidence"])


def test_feedback_of_another_caller_or_agent_is_refused(guarded, tmp_path):
    body = {"task": TASK}
    request_id = guarded.post("/delegate", json=body, headers=bearer("bob")).json()["request_id"]
    said = {"request_id": request_id, "correct_agent": None}
    assert guarded.post("/feedback", json=said, headers=bearer("ada")).status_code == 404
    hidden = {"request_id": request_id, "correct_agent": "Fraud"}
    refused = guarded.post("/feedback", json=hidden, headers=bearer("bob"))
    absent = guarded.post(
        "/feedback", json={**hidden, "correct_agent": "Frank"}, headers=bearer("bob")
    )
    assert refused.status_code == absent.status_code == 404
    assert refused.json()["detail"].replace("Fraud", "") == absent.json()["detail"].replace(
        "Frank", ""
    )
    assert not (tmp_path / "feedback.jsonl").exists()


def test_reviews_wait_until_somebody_says_who_was_right(guarded, desk):
    desk.delegator.knobs.set({"confidence.assign_threshold": None, "scope.threshold": None})
    for task in ("pay my salary", "book a train"):
        guarded.post("/delegate", json={"task": task}, headers=bearer("bob"))
    waiting = guarded.get("/reviews", headers=bearer("bob")).json()
    assert [one["task"] for one in waiting] == ["pay my salary", "book a train"]
    assert guarded.get("/reviews", headers=bearer("ada")).json() == []
    said = {"request_id": waiting[0]["delegation"]["request_id"], "correct_agent": None}
    guarded.post("/feedback", json=said, headers=bearer("bob"))
    assert [one["task"] for one in guarded.get("/reviews", headers=bearer("bob")).json()] == [
        "book a train"
    ]


@pytest.mark.parametrize("change", ["hidden", "removed"])
def test_a_review_names_no_agent_that_the_caller_may_use_no_more(guarded, desk, change):
    desk.delegator.knobs.set({"confidence.assign_threshold": None, "scope.threshold": None})
    given = guarded.post("/delegate", json={"task": TASK}, headers=bearer("bob")).json()
    assert (given["decision"], given["agent"]) == ("review", "Refunds")
    agent = next(agent for agent in desk.delegator.registry if agent.name == "Refunds")
    if change == "hidden":
        desk.delegator.registry.replace(
            agent.model_copy(update={"required_permissions": frozenset({"x"})})
        )
    else:
        desk.delegator.registry.remove("Refunds")
    [waiting] = guarded.get("/reviews", headers=bearer("bob")).json()
    assert "Refunds" not in json.dumps(waiting)
    assert waiting["delegation"]["request_id"] == given["request_id"]
    right = {"request_id": given["request_id"], "correct_agent": waiting["delegation"]["agent"]}
    assert guarded.post("/feedback", json=right, headers=bearer("bob")).status_code == 204
    assert guarded.get("/reviews", headers=bearer("bob")).json() == []


def test_a_review_names_whom_a_mail_is_for_without_its_quotes(desk):
    """Nobody else may be in the reason: whoever lost an agent is told another."""
    evidence = Evidence(without_quoted="Travel")
    delegation = desk.delegator(TASK).copy(evidence=evidence, top3=(), ranking=())
    assert Given("1", "bob", None, Choice(), delegation, delegation).names == {"Travel"}


def test_a_review_that_is_made_again_keeps_what_the_caller_wished_for(guarded, desk):
    desk.delegator.knobs.set({"confidence.assign_threshold": None, "scope.threshold": None})
    wishes = {"exclude": ["Refunds"], "k": 1}
    first, second, *_ = desk.delegator(TASK, permissions=[], exclude=["Refunds"]).top3
    guarded.post("/delegate", json={"task": TASK, **wishes}, headers=bearer("bob"))
    desk.delegator.registry.remove(second.name)  # the ranking does not name it, the reason may
    [waiting] = guarded.get("/reviews", headers=bearer("bob")).json()
    assert second.name not in json.dumps(waiting)
    assert "Refunds" not in json.dumps(waiting)
    assert [one["name"] for one in waiting["delegation"]["ranking"]] == [first.name]


def test_feedback_that_cannot_be_kept_is_a_fault_of_the_service(client, desk, caplog, tmp_path):
    given = client.post("/delegate", json={"task": TASK}).json()
    (tmp_path / "feedback.jsonl").mkdir()
    right = {"request_id": given["request_id"], "correct_agent": "Refunds"}
    answer = client.post("/feedback", json=right)
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text
    assert "feedback is lost" in caplog.text
    (tmp_path / "feedback.jsonl").rmdir()
    assert client.post("/feedback", json=right).status_code == 204


def test_who_may_not_use_all_agents_sees_no_counters(guarded):
    """They would tell how many agents there are, and what others ask."""
    assert guarded.get("/metrics", headers=bearer("bob")).status_code == 403
    assert guarded.get("/metrics", headers=bearer("ada")).status_code == 200


def test_metrics_count_decisions_and_tell_no_task(client):
    for _ in range(3):
        client.post("/delegate", json={"task": TASK})
    text = client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    counted = [
        s.value for s in families["task_delegator_delegations"].samples if s.name.endswith("_total")
    ]
    assert sum(counted) == 3
    assert "refund" not in text
    assert "Refunds" not in text


def counted(client: TestClient) -> dict[str, float]:
    """Return every sample of the metrics that has no label, and errors by their type."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    kept = (sample for sample in samples if not sample.name.endswith("_created"))
    return {sample.labels.get("error", sample.name): sample.value for sample in kept}


def test_metrics_count_what_ends_in_an_error(client, desk, monkeypatch):
    async def fail(**_):
        raise LMError("the LM is silent")

    monkeypatch.setattr(desk.delegator, "acall", fail)
    assert client.post("/delegate", json={"task": TASK}).status_code == 502
    found = counted(client)
    assert found["LMError"] == 1
    assert found["task_delegator_tasks_queued"] == found["task_delegator_tasks_under_way"] == 0


def test_the_time_of_a_task_counts_its_wait_for_a_place(client, desk, monkeypatch):
    monkeypatch.setattr(desk, "_places", asyncio.Semaphore(1))
    acall = desk.delegator.acall

    async def slowly(**wishes):
        await asyncio.sleep(0.3)
        return await acall(**wishes)

    monkeypatch.setattr(desk.delegator, "acall", slowly)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(client.post, "/delegate", json={"task": TASK}) for _ in range(3)]
        assert [one.result().status_code for one in asked] == [200] * 3
    assert counted(client)["task_delegator_seconds_sum"] > 0.3 + 0.5  # of the second and the third


def test_metrics_say_that_a_watched_file_cannot_be_used(client, desk, tmp_path):
    path = tmp_path / "agents.json"
    desk.delegator.registry.save(path)
    with Watch(desk.delegator.registry, path, seconds=0.02) as desk.watch:
        for content, stale in (("[", 1), ('[{"name": "Desk"}]', 0)):
            path.write_text(content)
            until = time.monotonic() + 20
            while counted(client)["task_delegator_registry_stale"] != stale:
                assert time.monotonic() < until
                time.sleep(0.02)
    assert counted(client)["task_delegator_agents"] == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[" * 100_000, "detail"),
        (b'{"task": "' + b"a" * 20_001 + b'"}', "20000"),
        (b'{"task": "   "}', "task"),
        (b'{"task": "\\ud800"}', "detail"),
        (b'{"task": "a", "permission": ["x"]}', "permission"),
        (b'{"task": "a", "permissions": "x"}', "permissions"),
        (b'{"task": "a", "exclude": "x"}', "exclude"),
        (b'{"task": "a", "k": 0}', "k"),
        (b'{"task": "a", "history": ["' + b"a" * 20_001 + b'"]}', "history"),
        (b"", "detail"),
        (b"\xff\xfe", "detail"),
    ],
)
@pytest.mark.fault(
    "overload", "a body that is broken, nested or too long", holds="400 with one line."
)
def test_a_request_that_cannot_be_used_is_refused_in_one_line(client, body, says):
    answer = client.post("/delegate", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert says in answer.text
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/search", {"query": {"text": "\ufdfa" * 1_200}}, "the text has 21,600 characters"),
        ("/search", {"query": {"text": "\x1c"}}, "the text is empty"),
        (
            "/delegate",
            {"task": "a", "history": ["a", "\ufdfa" * 1_200]},
            "earlier task 2 has 21,600",
        ),
        ("/delegate", {"task": "\ufdfa" * 1_200}, "the task has 21,600 characters"),
        ("/plan", {"task": "\ufdfa" * 1_200}, "the task has 21,600 characters"),
    ],
)
def test_no_text_is_longer_than_its_limit_when_each_ligature_is_written_out(
    client, path, body, says
):
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


@pytest.mark.fault("overload", "a body over 256 KiB", holds="413, before it is read whole.")
def test_a_request_that_is_too_large_is_refused(client):
    answer = client.post("/delegate", content=b" " * 300_000)
    assert answer.status_code == 413

    def drops():
        for _ in range(300):
            yield b" " * 1000

    assert client.post("/delegate", content=drops()).status_code == 413


@pytest.mark.fault("failing LM", "`serve --on-lm-failure raise`", holds="502 with one line.")
def test_an_lm_that_fails_is_no_fault_of_the_service(client, desk, monkeypatch):
    async def refuse(**_):
        raise LMError("the LM is silent")

    monkeypatch.setattr(desk.delegator, "acall", refuse)
    answer = client.post("/delegate", json={"task": TASK})
    assert (answer.status_code, answer.json()) == (502, {"detail": "the LM is silent"})


@pytest.mark.fault(
    "overload", "more than 64 tasks at once", holds="The others wait; all are answered."
)
def test_more_requests_than_places_wait_and_are_all_answered(desk, monkeypatch):
    at_once, most = 0, 0
    answer = desk.delegator.acall

    async def counted(**asked):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        try:
            return await answer(**asked)
        finally:
            at_once -= 1

    async def ask_all():
        every = Caller("ada", None)
        return await asyncio.gather(*(desk.delegate(every, TASK) for _ in range(200)))

    monkeypatch.setattr(desk.delegator, "acall", counted)
    answers = asyncio.run(ask_all())
    assert most == 64
    assert len({request_id for request_id, _ in answers}) == 200
    assert {answer.agent for _, answer in answers} == {"Fraud"}


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("evil.example", 400),
        ("[::2]:8000", 400),
        ("[::1]:8000", 200),
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
    ],
)
def test_without_tokens_only_names_of_this_machine_are_answered(client, host, code):
    answer = client.post("/delegate", json={"task": TASK}, headers={"Host": host})
    assert answer.status_code == code


def test_an_address_that_is_open_to_others_needs_tokens(desk):
    with listen("0.0.0.0", 0) as held, pytest.raises(InputError, match="--tokens"):
        serve(desk, Access(), held)


def test_an_address_in_use_is_refused_before_anything_is_loaded(tmp_path, capsys):
    with listen(port=0) as held:
        held.listen()
        port = str(held.getsockname()[1])
        assert main(["serve", "--agents", str(tmp_path / "absent.json"), "--port", port]) == 3
    assert f"--host 127.0.0.1 --port {port}: Address already in use" in capsys.readouterr().err


def test_the_page_runs_its_own_script_alone(client):
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert client.get("/page.js").headers["content-type"].startswith("text/javascript")


def test_a_key_that_is_held_or_pressed_with_others_records_nothing(client):
    """Alt+1 changes the tab of some browsers; a held key would record review after review."""
    handler = client.get("/page.js").text.partition("document.onkeydown")[2].partition("\n};")[0]
    (refused,) = (line for line in handler.splitlines() if "event.repeat" in line)
    assert refused.strip().endswith(") return;")
    assert all(f"event.{key}Key ||" in refused for key in ("alt", "ctrl", "meta"))
    assert handler.index(refused) < handler.index(".click()")


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css"])
def test_the_page_is_shown_in_no_frame_of_another(client, path):
    headers = client.get(path).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


def test_a_service_is_ready_when_its_index_is_built(desk):
    client = TestClient(create_app(desk), base_url=HERE)
    assert client.get("/readyz").status_code == 503  # its lifespan has not begun
    with client:
        while client.get("/readyz").status_code == 503:
            pass
        assert client.get("/readyz").json() == {"status": "ok"}
    assert not desk.ready


def test_the_document_of_the_api_has_an_example_for_each_request(client):
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for name in ("TaskRequest", "FeedbackRequest", "Query"):
        required = schemas[name]["required"]
        assert all(
            "examples" in json.dumps(schemas[name]["properties"][field]) for field in required[:1]
        )


class Broken:
    """A reranker that cannot be used."""

    id = "broken"

    def score(self, task, texts):
        raise ZeroDivisionError


def test_a_service_that_is_not_ready_says_what_failed(caplog):
    made = Delegator(office_registry(), HashedWords(), reranker=Broken())
    made.knobs.set({"retrieval.rerank": 1.0})
    desk = Desk(made)
    with TestClient(create_app(desk), base_url=HERE):
        until(lambda: caplog.records)
    assert not desk.ready
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("not ready, tried again in 10 seconds: reranker broken: failed")


def test_a_service_is_ready_once_what_failed_has_passed(desk, caplog, monkeypatch):
    monkeypatch.setattr("task_delegator.service.desk._PAUSE_SECONDS", 0.01)
    failing = [RuntimeError("the disk is away"), EmbedderError("no answer")]

    def warm_up():
        if failing:
            raise failing.pop()

    monkeypatch.setattr(desk.delegator, "warm_up", warm_up)
    with TestClient(create_app(desk), base_url=HERE):
        until(lambda: desk.ready)
    assert "no answer" in caplog.text
    assert "the disk is away" in caplog.text


def until(holds):
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"task": "refund"}', "text/plain", "Content-Type: application/json"),
        (b'{"task": "refund"', "application/json", "broken JSON"),
        (b'{"task": " "}', "application/json", "task: is empty"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_words(client, body, kind, said):
    answer = client.post("/delegate", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
