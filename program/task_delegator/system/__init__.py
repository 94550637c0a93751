"""What the package needs of its system: files, locks, forks, standard output, JSON, extras.

MLflow is one of these extras, and is loaded where it is read.
"""

from .beside import beside
from .console import accept_any_text, draw_bars_on_terminals_only
from .extras import needed
from .files import (
    PARTIAL,
    append_line,
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
    unfinished_line,
    write_text,
)
from .fork_gate import hold_at_forks, no_fork
from .json_text import MOST_LEVELS, parse_json, repeated_key, too_deep
from .locks import held, one_at_a_time
from .mlflow_access import read_mlflow
from .thread_lock import Lock

__all__ = [
    "MOST_LEVELS",
    "PARTIAL",
    "Lock",
    "accept_any_text",
    "append_line",
    "atomic_write",
    "beside",
    "cache_folder",
    "draw_bars_on_terminals_only",
    "flush",
    "held",
    "hold_at_forks",
    "is_file",
    "needed",
    "no_fork",
    "one_at_a_time",
    "parse_json",
    "private_cache_folder",
    "read_bytes",
    "read_json",
    "read_mlflow",
    "read_text",
    "repeated_key",
    "replacing",
    "replacing_folder",
    "require_regular",
    "sha256_file",
    "sha256_text",
    "too_deep",
    "unfinished_line",
    "write_text",
]
