"""What is shown of an error that quotes what it was sent."""

import json
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.errors import InputError
from task_delegator.text.credentials import HIDDEN, without_user
from task_delegator.text.redact import MOST_CHARACTERS, describe_error, redact

TASK = "Please refund the card payment of Jörg Müller, IBAN DE89370400440532013000"
KEY = "sk-proj-0123456789abcdefABCDEF"


class ServerError(Exception):
    """An error as DSPy raises it."""

    def __init__(self, message: str, status: int | None = 500) -> None:
        super().__init__(message)
        self.message, self.status, self.provider = message, status, "openai"


def test_an_error_is_shown_by_its_type_provider_status_and_message():
    error = ServerError("Unsupported value: 'temperature' must be 1\n\n  To fix:\n    - wait")
    shown = describe_error(error, [TASK], [KEY])
    assert shown == "ServerError (openai, HTTP 500): Unsupported value: 'temperature' must be 1"


@pytest.mark.parametrize(
    "escape",
    [
        str,
        str.upper,
        json.dumps,
        lambda text: json.dumps(json.dumps(text)),
        repr,
        quote,
        lambda text: quote(quote(text)),
        lambda text: "".join(f"%{byte:02x}" for byte in text.encode()).replace("%", "%25"),
        lambda text: "".join(f"&amp;#{ord(char)};" for char in text),
        lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
        lambda text: "".join(f"\\U{ord(char):08x}" for char in text),
        lambda text: "".join(f"\\{ord(char):03o}" if char.isascii() else char for char in text),
        lambda text: "".join(
            chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text
        ),
        lambda text: text.replace(" ", "\u200b \x1b[31m"),
        lambda text: "\x1b]8;;http://x\x07" + text,
        lambda text: text[5:40],
    ],
)
def test_neither_the_prompt_nor_a_key_is_shown_however_they_are_escaped(escape):
    error = ServerError(f"cannot do {escape(TASK)} for Bearer {KEY}, {escape(KEY)}; try again")
    shown = describe_error(error, ["A) Refunds - pays money back", TASK], [KEY])
    assert "Müller" not in shown
    assert "DE8937" not in shown
    assert "refund" not in shown.lower()
    assert "0123456789abc" not in shown.lower()
    assert "\x1b" not in shown
    assert shown.startswith("ServerError (openai, HTTP 500): cannot do")
    said = shown.replace(HIDDEN, "")
    assert said.isascii(), "nor in letters that are read as others"
    assert not re.search(r"[%&\\]", said), "nor escaped"


def test_keys_of_the_environment_and_of_an_address_are_not_shown(monkeypatch):
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", "0f9e8d7c6b5a")
    shown = redact("bad key 0f9e8d7c6b5a at https://ann:hidden@host/v1, Basic YW5uOmhpZGRlbg==")
    assert shown == "bad key … at https://host/v1, …"
    assert without_user("https://ann:hidden@host/v1") == "https://host/v1"


def test_of_a_message_that_holds_nothing_else_the_type_is_left():
    assert describe_error(ServerError(TASK, None), [TASK]) == "ServerError (openai)"
    assert describe_error(ValueError()) == "ValueError"


@given(
    st.text(min_size=0, max_size=60),
    st.text(min_size=8, max_size=30),
    st.lists(
        st.sampled_from(["{task}", "{key}", "error at ", "\x1b[2J", "\n", "\u202e", "x" * 90])
    ),
)
def test_whatever_is_quoted_the_line_is_short_and_clean(task, key, pieces):
    message = "".join(pieces).replace("{task}", task).replace("{key}", key)
    shown = describe_error(ServerError(message), [task], [key])
    assert len(shown) <= MOST_CHARACTERS
    assert shown.splitlines() == [shown]
    assert all(char.isprintable() for char in shown)
    said = shown.partition("HTTP 500)")[2]
    for text, length in ((task, 12), (key, 8)):
        if "…" not in text:  # what is hidden is shown by it
            runs = {text[at : at + length] for at in range(len(text) - length + 1)}
            assert not any(run in said for run in runs)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://bob:p@ss@host:80/x", "http://host:80/x"),
        ("see https://a:b@c/d and mysql+x://e:f@g", "see https://c/d and mysql+x://g"),
        ("postgresql://h/db?user=ann&password=hun'x", "postgresql://h/db?user=ann&password=…"),
        ("https://h/v1?api-key=abc&n=2", "https://h/v1?api-key=…&n=2"),
        ("sqlite:////home/a/mlflow.db", "sqlite:////home/a/mlflow.db"),
    ],
)
def test_no_password_of_an_address_is_shown(address, shown):
    assert without_user(address) == shown


def test_a_number_that_python_does_not_read_is_no_failure():
    assert describe_error(ValueError("no"), ["&#" + "1" * 5000]) == "ValueError: no"


@pytest.mark.parametrize(
    "message",
    [
        "https://x.blob.net/c?sv=1&sig=OPENSESAME",
        "https://s3/x?X-Amz-Signature=OPENSESAME",
        "https://h/x#access_token=OPENSESAME",
        "https://h/x?pwd=OPENSESAME",
        "https://h?api_key='OPENSESAME'",
        "postgresql://bob:p/OPENSESAME@h/db",
        "postgresql://bob:OPENSESAME w@h/db",
        "bob:OPENSESAME@h/x",
        r"http:\/\/bob:OPENSESAME@h",
        "host=h password=OPENSESAME user=b",
        "Server=x;UID=bob;PWD=OPENSESAME;",
        "Authorization: Bearer OPENSESAME",
        "{'password': 'OPENSESAME'}",
        "//bob:OPENSESAME@host/x",
        "bob:p/OPENSESAME@host/x",
        "redis :OPENSESAME@host",
        "mssql://h/?odbc_connect=DRIVER%3DSQL%3BUID%3Dbob%3BPWD%3DOPENSESAME%3B",
        "https://h/x?next=https%3A%2F%2Fh%2F%3Fpassword%3DOPEN%2526SESAME%26n%3D2",
        "https://h/x?next=password%253DOPENSESAME",
        "https://h/x?next=a%25252525253Dpassword%25252525253DOPENSESAME",
        "https%3A%2F%2Fbob%3AOPENSESAME%40host",
        "https://h/x?a=b%2526sig%253DOPENSESAME",
        "https://h/#/cb?x=1&id_token=OPENSESAME",
        "https://h/x?%70assword=OPENSESAME",
        "https:&#47;&#x2f;bob:OPENSESAME&#64;h",
        "https://h/x?a=1&amp;key=OPENSESAME",
        r"{\"api_key\": \"OPENSESAME\"}",
        r"{'msg': '{\"password\": \"OPEN\\\"SESAME\"}'}",
        "password = 'OPEN SESAME'",
        "PWD={OPEN;SESAME};UID=x",
        "authorization:bearer OPENSESAME",
        "AUTHORIZATION :  Token OPENSESAME",
        'Proxy-Authorization: Digest username="bob", response="OPENSESAME"',
        "X-Api-Key: OPENSESAME",
        "Ocp-Apim-Subscription-Key: OPENSESAME",
        "cookie: a=b; session=OPENSESAME",
        "[(b'authorization', b'Bearer OPENSESAME')]",
        "('X-Api-Key', 'OPENSESAME')",
        "headers={'Authorization' => 'opensesame-OPENSESAME'}",
        "--api-key OPENSESAME",
        "password: OPENSESAME",
        "AccountKey=OPENSESAME==;EndpointSuffix=core",
        "aws_secret_access_key = wJalr/OPENSESAME+x",
        "no such key AKIAOPENSESAME123456",
        "ghp_OPENSESAMEOPENSESAME12",
        "eyJhbGciOiJIUzI1NiJ9.OPENSESAME.sig",
    ],
)
def test_no_signature_and_no_password_of_a_driver_is_shown(message):
    assert "SESAME" not in without_user(message)
    assert "SESAME" not in str(InputError(message))


@pytest.mark.parametrize(
    "message",
    [
        "http://localhost:8080/models:/delegator@champion",
        "models:/delegator@champion",
        "knob lm.prompt_tokens=5: must be at least 200",
        "see http://x:80/ and mail a@b",
        "the basic idea of a bearer of messages",
        "http://localhost:8080?mail=a@b",
        "localhost:8080/models:/delegator@champion",
        "program.json: lm.api_key: Extra inputs are not permitted",
        "an object has the key 'name' twice: remove one of them",
        "agents.json: line 3: 'Zürich 100%25 & co' is no agent",
        "give the password: it is not guessed",
        "at 12:30 ask bob@example.org",
    ],
)
def test_what_opens_nothing_is_shown(message):
    assert without_user(message) == message
