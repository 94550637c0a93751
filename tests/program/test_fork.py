"""A forked child goes on, whatever its parent's threads were doing."""

import os
import signal

import pytest

from task_delegator.text import languages

_SECONDS = 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_recognises_languages_that_its_parent_was_recognising():
    languages.foreign_language("load the model once", {"en"})
    with languages._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(_SECONDS)  # ends a child that waits
            found = languages.foreign_language(
                "Bitte erstatten Sie mir den Betrag der letzten Rechnung zurück", {"en"}
            )
            os._exit(0 if found == "de" else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
