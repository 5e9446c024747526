# SPDX-License-Identifier: Apache-2.0
"""Where figures come from, and where none shall come from."""

import os
import platform
import subprocess
import sys
import sysconfig
from datetime import datetime, timezone

import native


def unfit():
    """Reasons why figures of this build would say nothing; [] if it is fit."""
    reasons = []
    if sysconfig.get_config_var("Py_DEBUG") or hasattr(sys, "gettotalrefcount"):
        reasons.append("this Python is a debug build")
    if os.environ.get("PYTHONMALLOC") or os.environ.get("PYTHONDEVMODE") or sys.flags.dev_mode:
        reasons.append("Python's development mode or PYTHONMALLOC is set")
    if os.environ.get("LD_PRELOAD"):
        reasons.append("LD_PRELOAD is set")
    for name, path in libraries().items():
        found = _sanitizers(path)
        if found:
            reasons.append(f"{name} is built with {found}")
        if _is_unoptimised(path):
            reasons.append(f"{name} is built without optimisation (AVENC_DEBUG=1?): build it again")
    return reasons


def libraries():
    device = native.device_library()
    return {"libavenc.so": os.path.join(os.path.dirname(device), "libavenc.so"), os.path.basename(device): device}


def _sanitizers(path):
    with open(path, "rb") as file:
        data = file.read()
    marks = {b"__asan_init": "the address sanitizer", b"__tsan_init": "the thread sanitizer"}
    marks.update({b"__ubsan_handle": "the undefined behaviour sanitizer", b"__gcov_": "coverage counters"})
    return ", ".join(text for mark, text in marks.items() if mark in data)


def _is_unoptimised(path):
    """An -O0 build is made with -g and without fortification (setup.py); both show in the file."""
    with open(path, "rb") as file:
        return b".debug_info" in file.read()


def load_average():
    return [round(value, 2) for value in os.getloadavg()]


def _first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.splitlines()[0] if done.stdout else ""


def _cpu_model():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.lower().startswith(("model name", "hardware", "cpu model")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def facts():
    import ascend_venc
    import numpy

    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _first_line("git", "-C", str(native.ROOT), "rev-parse", "--short", "HEAD"),
        "ascend_venc": ascend_venc.__version__,
        "device": "simulated (null codec): binding overhead, not encoder speed",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "python_flags": sysconfig.get_config_var("CFLAGS"),
        "numpy": numpy.__version__,
        "compiler": _first_line(native.CC, "--version"),
        "peer_flags": " ".join(native.FLAGS),
        "switch_interval_s": sys.getswitchinterval(),
        "load_average_before": load_average(),
    }
