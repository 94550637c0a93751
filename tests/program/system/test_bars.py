"""A bar of progress is drawn on a terminal, and in no file."""

import os
import subprocess
import sys

import pytest
from small import ROOT

# What each command line imports first, before the module that makes the bars.
COMMANDS = {
    "task-delegator": "from task_delegator.cli.command_line import main\n"
    "try: main(['delegate', 'x', '--agents', 'absent.json'])\nexcept SystemExit: pass",
    "optimize": "import optimize.__main__",
    "overhead": "import optimize.tracking_overhead",
    "experiments": "import experiments.__main__",
}
DRAW = "\nfrom tqdm.auto import tqdm\nlist(tqdm(range(3), desc='drawn'))"


def _run(command: str, error: int) -> subprocess.Popen:
    known = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    return subprocess.Popen(
        [sys.executable, "-c", COMMANDS[command] + DRAW], cwd=ROOT, env=known, stderr=error
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_bar_is_drawn_into_a_file(command):
    with _run(command, subprocess.PIPE) as running:
        _, said = running.communicate(timeout=120)
    assert b"drawn" not in said


@pytest.mark.slow
@pytest.mark.parametrize("command", ["task-delegator", "optimize"])
@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
def test_a_terminal_shows_the_bar(command):
    import termios

    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with _run(command, theirs) as running:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # the terminal is closed
            pass
        running.wait(timeout=120)
    os.close(ours)
    assert b"drawn" in said
