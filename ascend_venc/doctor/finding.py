# SPDX-License-Identifier: Apache-2.0
"""A line of the report, and what several of them say."""

from __future__ import annotations

from typing import NamedTuple

OK, NOTE, WARN, FAIL = "ok", "note", "warn", "fail"
NODES = "--device /dev/davinci0 --device /dev/davinci_manager --device /dev/devmm_svm --device /dev/hisi_hdc"
DRIVER_VOLUME = "-v /usr/local/Ascend/driver:/usr/local/Ascend/driver"
SIMULATE = 'or choose the simulated device (--backend sim, backend="sim")'
FIT = "driver, firmware and CANN have to fit each other (npu-smi info tells the driver's version)"


class Finding(NamedTuple):
    """One line of the report.

    Attributes
    ----------
    level : str
        "ok"; "note": to be known; "warn": something does not work, or may soon not; "fail": encoding does not work.
    name : str
        What it is about, for programs: "cann.environment".
    text : str
        What was found.
    fix : str
        What to do, in a line; "" where there is nothing to be done.
    """

    level: str
    name: str
    text: str
    fix: str = ""


def said(output: str) -> str:
    """The last line of what libraries printed, to be added to a text."""
    last = output.splitlines()[-1].strip() if output else ""
    return f" (it said: {last[:200]})" if last else ""
