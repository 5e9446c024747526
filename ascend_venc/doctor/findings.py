# SPDX-License-Identifier: Apache-2.0
"""What an examination means: a line for each thing that works, is missing or is wrong, with what mends it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..errors import lookup
from .finding import FAIL, FIT, NOTE, OK, SIMULATE, WARN, Finding, said
from .of_host import closed_nodes, of_host
from .of_library import of_library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .examination import Examination, Trial

CODEC_NAMES = {"h264": "H.264", "h265": "H.265"}


def findings_of(examination: Examination) -> list[Finding]:
    """Judge an examination: what works first, then what fails, warnings and notes."""
    found = [*of_host(examination), *of_library(examination), *_of_trials(examination)]
    order = {OK: 0, FAIL: 1, WARN: 2, NOTE: 3}
    return sorted(dict.fromkeys(found), key=lambda finding: order[finding.level])


def conclusion(examination: Examination) -> str:
    """What encoding here will do, in a sentence."""
    if not examination.encodes:
        if any(trial.result for trial in examination.simulated):
            return "Nothing is encoded here but by the simulated device, which has to be chosen: --backend sim."
        return "Nothing is encoded here."
    worked = sorted({trial.device for trial in examination.trials if trial.result})
    chip = examination.found["soc_name"] or "unknown chip"
    interface = (examination.interface or examination.found["interface"]).upper()
    if examination.on_simulated:
        return f"Encoding is simulated here, on this machine's CPU ({chip}, DVPP {interface})."
    devices = "device" if len(worked) == 1 else "devices"
    return f"Encoding is done by the {chip}, {devices} {', '.join(map(str, worked))}, by DVPP {interface}."


def _of_trials(examination: Examination) -> Iterator[Finding]:
    groups: dict[tuple[str | None, int, str], list[Trial]] = {}
    for trial in (*examination.trials, *examination.simulated):
        groups.setdefault((trial.backend, trial.device, trial.interface), []).append(trial)
    simulated = [group for group in groups.values() if _is_simulated(examination, group[0])]
    whole = [group for group in simulated if all(trial.result for trial in group)]
    if len(whole) < len(simulated):
        whole = []  # each has its own line
    if whole:
        chip = examination.found["soc_name"] if examination.on_simulated else "device"
        by = _joined(dict.fromkeys(group[0].interface.upper() for group in whole))
        yield Finding(
            OK,
            "encode.simulated",
            f"simulated {chip}, {by}: {_worked([trial for group in whole for trial in group])}",
        )
    for group in groups.values():
        first = group[0]
        kind = "simulated device" if _is_simulated(examination, first) else "device"
        place = f"{kind} {first.device}, {first.interface.upper()}"
        worked = [trial for trial in group if trial.result]
        if worked and group not in whole:
            yield Finding(OK, "encode", f"{place}: {_worked(worked)}")
        failed: dict[str, list[Trial]] = {}
        for trial in group:
            if not trial.result:
                failed.setdefault(trial.problem, []).append(trial)
        for alike in failed.values():  # codecs that fail for the same reason have one line
            codecs = _joined(CODEC_NAMES[trial.codec] for trial in alike)
            yield _of_failure(examination, alike[0], f"{place}, {codecs}")
        if worked and first.outcome.end and first.outcome.result is not None:
            yield Finding(
                WARN,
                "encode.end",
                f"{place}: encoded, and the process ended with {first.outcome.how}{said(first.outcome.output)}",
                FIT,
            )


def _is_simulated(examination: Examination, trial: Trial) -> bool:
    return examination.on_simulated or trial in examination.simulated


def _joined(words: Any) -> str:
    return " and ".join(words)


def _worked(trials: list[Trial]) -> str:
    codecs = _joined(dict.fromkeys(CODEC_NAMES[trial.codec] for trial in trials))
    results = [trial.result or {} for trial in trials]
    slowest = max(result["milliseconds_per_frame"] for result in results)
    decoded = "" if all(result["psnr"] is not None for result in results) else ", not decoded"
    return f"{codecs}{decoded}, {slowest:.3g} ms a frame"


def _of_failure(examination: Examination, trial: Trial, place: str) -> Finding:
    outcome, error = trial.outcome, trial.error or {}
    other_works = any(
        other.result and other.device == trial.device and other.codec == trial.codec for other in examination.trials
    )
    level = WARN if examination.encodes and (other_works or trial in examination.simulated) else FAIL
    text = f"{place}: {trial.problem}"
    if trial.error is None:
        reset = "; a reboot, or npu-smi's reset, helps a device that hangs" if outcome.end == "hung" else ""
        return Finding(level, f"encode.{outcome.end or 'failed'}", text + said(outcome.output), f"{FIT}{reset}")
    if "libx26" in trial.problem or "libavcodec" in trial.problem or "in the codec" in trial.problem:
        chosen = "ASCEND_VENC_SIM_AVCODEC" in examination.host.variables
        fix = "unset ASCEND_VENC_SIM_AVCODEC, or let it name a libavcodec with libx264 and libx265" if chosen else ""
        return Finding(
            level, "sim.codec", text, fix or "pip install 'ascend-venc[sim]' (PyAV's wheels have libx264 and libx265)"
        )
    if re.search(r"errno 13|[Pp]ermission denied", trial.problem):
        closed = closed_nodes(examination.host)
        fix = closed.fix if closed else "be of the group of /dev/davinci* (ls -l /dev/davinci*), then log in again"
        return Finding(level, "nodes.permission", text, fix)
    for pattern, name, fix in (
        (
            r"the stream|packets came|can be decoded|decoded pictures",
            "encode.wrong",
            f"what comes out is no picture of ours: {FIT}",
        ),
    ):
        if re.search(pattern, trial.problem):
            return Finding(level, name, text, fix)
    return Finding(level, "encode.failed", text, _hint(error) or f"{FIT}; {SIMULATE}")


def _hint(error: dict[str, Any]) -> str:
    return str(error.get("hint") or lookup(error["code"]).hint if error.get("code") else "")
