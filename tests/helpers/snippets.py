# SPDX-License-Identifier: Apache-2.0
"""Snippets of the documentation, each run in a process of its own that a common parent forks.

The parent has imported what nearly all of them import, and opened nothing: a snippet costs what it does itself.
"""

import json
import re
import subprocess
import sys

from helpers import processes

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# One request a line: the snippet, its folder, and where its output goes. The child leaves the loop and runs the snippet
# as the program that it is: traceback, exit code and the end of the interpreter are its own.
_PARENT = """
import json, os, signal, sys, warnings
import numpy
import ascend_venc
try:
    import av
except ImportError:
    pass
for line in sys.stdin:
    request = json.loads(line)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy may have threads of its own, which the child does without
        child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    os._exit(0)
signal.alarm(100)
for number, path in enumerate(("/dev/null", request["stdout"], request["stderr"])):
    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
os.chdir(request["folder"])
source = compile(request["source"], "<snippet>", "exec")
for name in [name for name in globals() if not name.startswith("__") and name != "source"]:
    del globals()[name]
exec(globals().pop("source"))
"""


class Runner:
    """The parent. `run` returns (exit code, standard output, standard error) of a snippet; a context manager."""

    def __init__(self, **environment):
        self._parent = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _PARENT],
            env=processes.environment(OPENBLAS_NUM_THREADS=1, **environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._parent.stdin.close()
        self._parent.wait(60)
        self._parent.stdout.close()

    def run(self, source, folder, logs):
        """`folder` is where the snippet runs, `logs` an empty folder elsewhere."""
        out, err = logs / "stdout", logs / "stderr"
        request = {"source": source, "folder": str(folder), "stdout": str(out), "stderr": str(err)}
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        code = self._parent.stdout.readline()
        assert code, "the parent of the snippets has ended"
        return int(code), out.read_text(), err.read_text()
