# SPDX-License-Identifier: Apache-2.0
"""Counters of this process's encoders for other programs of the same user, such as `ascend-venc top`.

Nothing happens unless the program asks for it: $ASCEND_VENC_STATS=1, or `publish()`. Then one thread sleeps on a Unix
socket in a folder that only this user can enter, and whoever connects gets the counters of that moment as JSON. Nobody
asks, nothing is done.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import stat
import struct
import sys
import threading
from typing import Any

from . import stats

VARIABLE = "ASCEND_VENC_STATS"
_PATIENCE = 1.0  # seconds for a reader to take what it asked for
_PAUSE = 0.5  # seconds before the next one is looked for, where there is no descriptor or memory for it
_lock = threading.RLock()  # of threads: a signal's handler comes in, and has to find what it can go on from
_making = False  # by the call of `publish` that the handler interrupts
_listening: socket.socket | None = None
_path = ""


def folders() -> list[str]:
    """Return where this user's processes may have their sockets, the preferred one first."""
    user = os.getuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    parents = [f"{runtime}/ascend-venc"] if runtime and os.path.isabs(runtime) and os.path.isdir(runtime) else []
    if os.path.isdir(f"/run/user/{user}"):
        parents.append(f"/run/user/{user}/ascend-venc")
    return list(dict.fromkeys([*parents, f"/tmp/ascend-venc-{user}"]))


def publish() -> str:
    """Let other programs of this user read the counters of this process's encoders. Returns the socket's path.

    Idempotent, and callable from any thread; a socket that somebody has deleted is made again. $ASCEND_VENC_STATS=1
    does it when the first encoder opens. A child of fork() does not inherit it.

    Raises
    ------
    OSError
        The socket cannot be made, or its folder is not this user's alone.
    RuntimeError
        No thread can be started.
    """
    global _making, _path  # noqa: PLW0603
    with _lock:
        if _listening is not None and not os.path.exists(_path):  # by who tidies /tmp up
            withdraw()
        if _listening is None and not _making:
            _making = True
            try:
                _path = os.path.join(folders()[0], f"{os.getpid()}.sock")
                _publish(_path)
            finally:
                _making = False
        return _path


def _publish(path: str) -> None:
    global _listening  # noqa: PLW0603
    _own_folder()
    with contextlib.suppress(FileNotFoundError):  # of a process that had this number before
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound = False
    try:
        listening.bind(path)
        bound = True
        os.chmod(path, 0o600)
        listening.listen(8)
        threading.Thread(target=_serve, args=(listening,), name="ascend-venc-stats", daemon=True).start()
        atexit.register(withdraw)
    except BaseException:
        listening.close()
        if bound:
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise
    _listening = listening


def withdraw() -> None:
    """Undo `publish`. Idempotent."""
    global _listening
    with _lock:
        if _listening is None:
            return
        atexit.unregister(withdraw)
        with contextlib.suppress(OSError):
            os.unlink(_path)
        listening, _listening = _listening, None  # last: until then `publish` has nothing to do
        if listening is None:  # by a signal's handler
            return
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # which ends the thread's wait
        listening.close()


def publish_if_asked() -> None:
    """Do as $ASCEND_VENC_STATS says. What goes wrong is no reason for an encoder not to open: it is logged."""
    if _listening is None and os.environ.get(VARIABLE, "0") not in ("", "0"):
        try:
            publish()
        except (OSError, RuntimeError) as error:
            logger = getattr(sys.modules.get("logging"), "getLogger", None)
            if logger is not None:
                logger("ascend_venc").warning("$%s: the counters are not shown: %s", VARIABLE, error)


def snapshot() -> dict[str, Any]:
    """Return the process and its open encoders with their counters, as JSON has it: see docs/operation.md."""
    encoders = []
    for encoder, number in stats.numbered():
        config, found = encoder.config, encoder.stats
        counters = {name: value for name, value in vars(found).items() if name not in ("name", "latency", "hold")}
        for name in ("latency", "hold"):
            histogram: stats.Histogram = getattr(found, name)
            counters[name] = {"p50": histogram.p50, "p99": histogram.p99, "max": histogram.max}
        encoders.append(
            {
                "encoder": number,
                "name": found.name,
                "backend": encoder.backend,
                "interface": getattr(encoder, "interface", ""),
                "codec": config.codec,
                "width": config.width,
                "height": config.height,
                "fps": float(config.fps),
                "bitrate": config.bitrate,
                **counters,
            }
        )
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return {"pid": os.getpid(), "program": program, "encoders": encoders}


def _own_folder() -> None:
    folder = folders()[0]
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} has to be a folder of this user's that no other one can enter: chmod 700 it")


def _serve(listening: socket.socket) -> None:
    with contextlib.suppress(ValueError):  # the main thread's waits are those that a signal is to end
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        try:
            connection, _ = listening.accept()
        except (OSError, MemoryError):  # withdrawn; or the program is at its limit, of open files for one, for a while
            if _withdrawn_within(listening, _PAUSE):
                return
            continue
        with connection, contextlib.suppress(Exception):  # whatever one reader does, the next one is served
            connection.settimeout(_PATIENCE)
            if _user_of(connection) in (0, os.getuid()):
                connection.sendall(json.dumps(snapshot()).encode())


def _withdrawn_within(listening: socket.socket, seconds: float) -> bool:
    end = select.poll()
    try:
        end.register(listening, 0)  # who connects is no reason to wake
    except ValueError:  # closed
        return True
    return bool(end.poll(1000 * seconds))


def _user_of(connection: socket.socket) -> int:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", data)[1])


def _after_fork_in_child() -> None:
    global _listening, _lock, _making
    _lock, _making = threading.RLock(), False
    listening, _listening = _listening, None
    if listening is not None:
        listening.close()  # the parent's: its thread is not here


os.register_at_fork(after_in_child=_after_fork_in_child)


def read(path: str, timeout: float) -> dict[str, Any] | None:
    """Return what a process tells at that socket; None where it is gone, which takes its socket away.

    Raises OSError where it does not answer in time, ValueError where it answers something else.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    data = b"".join(parts)
    found = json.loads(data) if data else None
    return found if isinstance(found, dict) and isinstance(found.get("encoders"), list) else None


def sockets() -> list[str]:
    """Return the sockets of this user's processes."""
    found = []
    for folder in folders():
        with contextlib.suppress(OSError):
            if os.lstat(folder).st_uid == os.getuid():
                found += [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".sock")]
    return sorted(found)
