# SPDX-License-Identifier: Apache-2.0
"""The whole examination: the host's files, then a child process for each question to a library."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidArgumentError
from .host import Host, examine_host
from .supervision import Outcome, run_trial

if TYPE_CHECKING:
    from collections.abc import Callable

CODECS = ("h264", "h265")
TIMEOUT = 20.0  # seconds for a step of a trial


class Trial(NamedTuple):
    """What came of encoding three frames.

    Attributes
    ----------
    backend : str or None
        As it was asked for.
    device : int
    interface : str
        "v1" or "v2".
    codec : str
        "h264" or "h265".
    result : dict or None
        What was encoded, where that is what was sent.
    problem : str
        Why not, in a line; "" if it worked.
    outcome : Outcome
        Of the process.
    error : dict or None
        The exception.
    """

    backend: str | None
    device: int
    interface: str
    codec: str
    result: dict[str, Any] | None
    problem: str
    outcome: Outcome
    error: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Examination:
    """What was found. `trials` are of the backend that was asked for; `simulated`: where that failed, of that one."""

    backend: str | None
    interface: str | None
    host: Host
    packages: Outcome
    library: Outcome
    trials: tuple[Trial, ...]
    simulated: tuple[Trial, ...]

    @property
    def found(self) -> dict[str, Any]:
        """What the library says of itself; {} where it cannot be opened."""
        return self.library.result or {}

    @property
    def on_simulated(self) -> bool:
        return bool(self.found.get("simulated"))

    @property
    def encodes(self) -> bool:
        """Whether `Encoder` with this backend and interface would encode here."""
        taken = self.interface or self.found.get("interface")
        if any(trial.result for trial in self.trials if trial.interface == taken):
            return True
        # "auto" takes V1 where V2 cannot even be begun.
        began = [trial.error.get("call") != "hi_mpi_sys_init" for trial in self.trials if trial.error]
        automatic = not self.interface and self.found.get("interface_automatic")
        return bool(automatic and not all(began) and any(trial.result for trial in self.trials))


def examine(
    backend: str | None = None,
    interface: str | None = None,
    device: int | None = None,
    *,
    timeout: float = TIMEOUT,
    only: bool = False,
    progress: Callable[[str], object] = str,
    root: str = "/",
    python: str | None = None,
) -> Examination:
    """Examine this host for a backend, on one device or on all. `interface` has to work; `only`: no other one is tried.

    Every call of a library is made in a child process, whose steps are bounded by `timeout` seconds each. `progress` is
    told what is tried next. `root` and `python` are those of `examine_host`. Raises InvalidArgumentError for a device
    that is not there.
    """
    host = examine_host(root, python)
    progress("packages of Python")
    packages = run_trial({"of": "packages"}, timeout)
    progress("AscendCL")
    library = run_trial({"of": "library", "backend": backend}, timeout)
    found = library.result or {}
    count = found.get("device_count", 0)
    if device is not None and count and not 0 <= device < count:
        raise InvalidArgumentError(f"device is {device}; this machine has 0 to {count - 1}")
    trials: tuple[Trial, ...] = ()
    if found and not library.end:
        devices = range(count) if device is None else [device]
        names = [name for name in ("v1", "v2") if found["encodes"][name] and (not only or interface in (None, name))]
        for number in devices:
            for name in names:
                progress(f"device {number}, {name}")
                trials += _encode(backend, number, name, timeout)
    simulated: tuple[Trial, ...] = ()
    if not found.get("simulated") and not any(trial.result for trial in trials) and backend in (None, "auto"):
        progress("simulated device")
        simulated = _encode("sim", 0, "v1", timeout)
    return Examination(backend, interface, host, packages, library, trials, simulated)


def _encode(backend: str | None, device: int, interface: str, timeout: float) -> tuple[Trial, ...]:
    request = {"of": "encode", "backend": backend, "interface": interface, "device": device, "codecs": CODECS}
    outcome = run_trial(request, timeout)
    parts = {part["codec"]: part for part in outcome.parts}
    trials = []
    for codec in CODECS:
        part = parts.get(codec)
        error = outcome.error if part is None else part.get("error")
        problem = "" if error is None else " ".join(error["text"].split())
        if part is None:
            problem = outcome.problem or "not tried"
        trials.append(Trial(backend, device, interface, codec, part and part.get("result"), problem, outcome, error))
        if part is None:
            break  # the process did not come to the next one
    return tuple(trials)
