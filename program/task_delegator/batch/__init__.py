"""Delegate many tasks into a file: resumable, in several processes, as JSONL or Parquet."""

from .engine import one_process, several_processes
from .files import check_format, read_tasks, write_bad, written_beside
from .ray_engine import on_ray
from .run import Batch, delegate_batch, program_digest

__all__ = [
    "Batch",
    "check_format",
    "delegate_batch",
    "on_ray",
    "one_process",
    "program_digest",
    "read_tasks",
    "several_processes",
    "write_bad",
    "written_beside",
]
