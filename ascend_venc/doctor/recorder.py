# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: writes what becomes of each test at once, so that a crash leaves what was before it.

Lines of JSON go to the file that $ASCEND_VENC_VERIFY_RECORD names: {"begin": test} and {"test": test, "outcome": ...,
"seconds": ..., "message": ...}.
"""

from __future__ import annotations

import json
import os
from typing import Any

VARIABLE = "ASCEND_VENC_VERIFY_RECORD"
LONGEST = 4000  # characters of a message


def _write(line: dict[str, Any]) -> None:
    with open(os.environ[VARIABLE], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def pytest_runtest_logstart(nodeid: str, location: Any) -> None:
    _write({"begin": nodeid})


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        message = "" if report.passed else str(report.longrepr[2] if report.skipped else report.longreprtext)
        line = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 3)}
        _write({**line, "message": message[-LONGEST:]})
