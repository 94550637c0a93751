"""A disk that is full while a program is saved."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.fault("full disk", "`save`", holds="One line; the old program stays.")
def test_a_disk_that_is_full_is_one_line_and_leaves_the_old_program(tmp_path, office):
    """The limit of a file's size stands for a full disk; it is the process's own."""
    code = """
import resource, signal, sys
import pytest
from pathlib import Path
from small import HashedWords, office_registry
from task_delegator.artifact import save
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError

program, folder = Delegator(office_registry(), HashedWords()), Path(sys.argv[1])
save(program, folder, {"old": True})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for most, pad in ((1000, 0), (60_000, 100_000)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        save(program, folder, {"pad": "x" * pad})
    except InputError as error:
        print(str(error).endswith("cannot be written: File too large"))
"""
    folder = tmp_path / "program"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.split() == ["True", "True"], done.stderr
    assert json.loads((folder / "manifest.json").read_text())["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["program"]
