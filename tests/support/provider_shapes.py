"""What providers answer on the wire, with every field that they send: a slot ``B`` in JSON."""

import json
import math
from typing import Any

SLOT = '{"slot": "B"}'
BELIEF = {"B": 0.7, "C": 0.15, "A": 0.1, "Z": 0.05}


def _tokens(*, with_bytes: bool) -> list[dict[str, Any]]:
    """Return the tokens of the slot as tokenizers cut it, the slot's with alternatives."""

    def token(text: str, p: float) -> dict[str, Any]:
        codes = list(text.encode()) if with_bytes else None
        return {"token": text, "logprob": math.log(p), "bytes": codes}

    def spelled(text: str) -> dict[str, Any]:
        return token(text, 0.99) | {"top_logprobs": [token(text, 0.99)]}

    slot = token("B", 0.7) | {"top_logprobs": [token(s, p) for s, p in BELIEF.items()]}
    return [spelled('{"'), spelled("slot"), spelled('":'), spelled(' "'), slot, spelled('"}')]


OPENAI = {
    "id": "chatcmpl-CUvJ2vqzyHVxGqcZyEKHkEyVQ6wVw",
    "object": "chat.completion",
    "created": 1761506352,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": SLOT, "refusal": None, "annotations": []},
            "logprobs": {"content": _tokens(with_bytes=True), "refusal": None},
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 412,
        "completion_tokens": 6,
        "total_tokens": 418,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    },
    "service_tier": "default",
    "system_fingerprint": "fp_560af6e559",
}

ANTHROPIC = {
    "model": "claude-haiku-4-5-20251001",
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": SLOT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 412,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 6,
        "service_tier": "standard",
    },
}

OLLAMA_CHAT_COMPLETIONS = {
    "id": "chatcmpl-549",
    "object": "chat.completion",
    "created": 1761506352,
    "model": "llama3.2",
    "system_fingerprint": "fp_ollama",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": SLOT},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 412, "completion_tokens": 6, "total_tokens": 418},
}

OLLAMA_API_CHAT = {
    "model": "llama3.2",
    "created_at": "2026-10-26T19:19:12.352171Z",
    "message": {"role": "assistant", "content": SLOT},
    "done_reason": "stop",
    "done": True,
    "total_duration": 1220413458,
    "load_duration": 94416625,
    "prompt_eval_count": 412,
    "prompt_eval_duration": 932540417,
    "eval_count": 6,
    "eval_duration": 192541750,
}

VLLM = {
    "id": "chatcmpl-9a7c6f0f5d5a4f6c9d4b7d9f0e6b5f7a",
    "object": "chat.completion",
    "created": 1761506352,
    "model": "Qwen/Qwen3-4B",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": SLOT,
                "refusal": None,
                "annotations": None,
                "audio": None,
                "function_call": None,
                "tool_calls": [],
                "reasoning_content": None,
            },
            "logprobs": {"content": _tokens(with_bytes=True)},
            "finish_reason": "stop",
            "stop_reason": None,
            "token_ids": None,
        }
    ],
    "service_tier": None,
    "system_fingerprint": None,
    "usage": {
        "prompt_tokens": 412,
        "total_tokens": 418,
        "completion_tokens": 6,
        "prompt_tokens_details": None,
    },
    "prompt_logprobs": None,
    "prompt_token_ids": None,
    "kv_transfer_params": None,
}


def wire(answer: dict[str, Any]) -> bytes:
    """Return an answer as it stands on the wire."""
    return json.dumps(answer).encode()
