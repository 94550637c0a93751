"""Language models: specs, the embedded server, weights, decision backends, JSON answers."""

from .bounded_json import BoundedJSONAdapter
from .budget import TaskBudget, current_budget, task_budget
from .circuit import forget_circuits
from .faults import PARSER_ERRORS, Fault, fault_of
from .guard import guarded
from .specs import (
    EMBEDDED_PROVIDER,
    as_asked,
    check_spec,
    context_tokens,
    gives_logprobs,
    is_embedded,
    is_packaged,
    is_up,
    language_model,
    prepare,
    without_logprobs,
    writes,
)
from .weights import ADAPTER, MANIFEST, RAW, SHIPPED, digest, find_weights, packaged

__all__ = [
    "ADAPTER",
    "EMBEDDED_PROVIDER",
    "MANIFEST",
    "PARSER_ERRORS",
    "RAW",
    "SHIPPED",
    "BoundedJSONAdapter",
    "Fault",
    "TaskBudget",
    "as_asked",
    "check_spec",
    "context_tokens",
    "current_budget",
    "digest",
    "fault_of",
    "find_weights",
    "forget_circuits",
    "gives_logprobs",
    "guarded",
    "is_embedded",
    "is_packaged",
    "is_up",
    "language_model",
    "packaged",
    "prepare",
    "task_budget",
    "without_logprobs",
    "writes",
]
