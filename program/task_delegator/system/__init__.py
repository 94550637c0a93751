"""What the package needs of its system: files, locks, forks, standard output, JSON, extras.

MLflow is one of these extras, and is loaded where it is read.
"""

from .beside import beside
from .console import accept_any_text, draw_bars_on_terminals_only
from .extras import needed
from .files import (
    PARTIAL,
    atomic_write,
    cache_folder,
    flush,
    is_file,
    private_cache_folder,
    read_bytes,
    read_json,
    read_text,
    replacing,
    replacing_folder,
    require_regular,
    sha256_file,
    sha256_text,
    write_text,
)
from .fork_gate import hold_at_forks, no_fork
from .json_text import MOST_LEVELS, parse_json, repeated_key, too_deep
from .jsonl import append_line, append_row, cut_unfinished_line, json_of, jsonl_lines, read_rows
from .locks import held, hold, one_at_a_time
from .mlflow_access import read_mlflow
from .thread_lock import Lock

__all__ = [
    "MOST_LEVELS",
    "PARTIAL",
    "Lock",
    "accept_any_text",
    "append_line",
    "append_row",
    "atomic_write",
    "beside",
    "cache_folder",
    "cut_unfinished_line",
    "draw_bars_on_terminals_only",
    "flush",
    "held",
    "hold_at_forks",
    "hold",
    "is_file",
    "json_of",
    "jsonl_lines",
    "needed",
    "no_fork",
    "one_at_a_time",
    "parse_json",
    "private_cache_folder",
    "read_bytes",
    "read_json",
    "read_mlflow",
    "read_rows",
    "read_text",
    "repeated_key",
    "replacing",
    "replacing_folder",
    "require_regular",
    "sha256_file",
    "sha256_text",
    "too_deep",
    "write_text",
]
