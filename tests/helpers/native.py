# SPDX-License-Identifier: Apache-2.0
"""C programs with the engine's own files and a simulated device, compiled once for each kind of build."""

import contextlib
import fcntl
import os
import runpy
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
# -g1: the lines of a report. Most of the time of these tests goes to compiling.
CFLAGS = ["-std=gnu11", "-O1", "-g1", "-fno-omit-frame-pointer", "-pthread", "-Wno-format-truncation"]
INCLUDES = [f"-I{CSRC}", f"-I{CSRC}/include"]

THREAD = ["-fsanitize=thread"]
ADDRESS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
DELAYS = ["-DAVENC_DELAYS"]  # a random pause before each lock: what two threads can do to each other, they do
VARIANTS = {
    "plain": [],
    "thread": THREAD,
    "thread-delays": [*THREAD, *DELAYS],
    "address": ADDRESS,
    "address-delays": [*ADDRESS, *DELAYS],
}

ENGINE = ("base/*.c", "bitstream/*.c", "load/*.c", "convert/*.c", "engine/*.c", "ports/*.c")
LOAD_ALONE = ("base/*.c", "load/*.c")
BITSTREAM_ALONE = ("base/*.c", "bitstream/*.c")
CONVERT_ALONE = ("base/*.c", "load/paths.c", "load/trust.c", "convert/*.c")


def write_generated(folder):
    """Write the header that the build makes for csrc/sim."""
    for name, text in runpy.run_path(str(ROOT / "scripts" / "generate_chips.py"))["sources"]().items():
        (Path(folder) / name).write_text(text)


def compile_c(*args):
    done = subprocess.run(["gcc", *CFLAGS, *map(str, args)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


class Builds:
    """One folder for a run of the suite, of all its worker processes. Each file is compiled at most once for a variant,
    when it is first needed."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        self._without_runtime = {}
        self._inside = 0
        with self._alone():
            if not (self.folder / "generated").exists():
                write_generated(self.folder)
                (self.folder / "generated").touch()

    @contextlib.contextmanager
    def _alone(self):
        """Keep other processes out, which then find what this one has built."""
        self._inside += 1
        try:
            if self._inside > 1:
                yield
                return
            with open(self.folder / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        finally:
            self._inside -= 1

    def flags(self, variant):
        """The flags of a variant; skips where its sanitizer has no runtime on this machine."""
        if variant not in self._without_runtime:
            self._without_runtime[variant] = self._try(variant)
        if self._without_runtime[variant]:
            pytest.skip(f"this machine has no runtime for {variant}: {self._without_runtime[variant][-200:]}")
        return VARIANTS[variant]

    def _try(self, variant):
        (self.folder / variant).mkdir(exist_ok=True)
        probe = self.folder / variant / f"probe_{os.getpid()}"
        probe.with_suffix(".c").write_text("int main(void) { return 0; }\n")
        for command in (["gcc", *CFLAGS, *VARIANTS[variant], f"{probe}.c", "-o", str(probe)], [str(probe)]):
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                return done.stderr or f"it ends with {done.returncode}"
        return ""

    def _compile(self, variant, sources, *flags):
        """Compile what has not been compiled yet, some at a time; return the objects."""
        named = {source: self.folder / variant / ("_".join(source.parts[-3:]) + ".o") for source in sources}
        compiler_flags = [*self.flags(variant), *flags]
        with self._alone():
            missing = [source for source in named if not named[source].exists()]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for _ in pool.map(lambda one: self._make(named[one], *compiler_flags, "-c", one), missing):
                    pass
        return list(named.values())

    def _make(self, target, *args):
        """Compile or link a file, which is there when it is whole."""
        unfinished = target.with_name(f"unfinished_{target.name}")
        compile_c(*args, "-o", unfinished)
        unfinished.rename(target)

    def device_objects(self, variant):
        """The object files of the simulated device with that sanitizer; it knows no delays."""
        return self._compile(
            variant.removesuffix("-delays"),
            sorted((CSRC / "sim").glob("*.c")),
            "-O0",
            "-fPIC",
            "-fvisibility=hidden",
            f"-I{CSRC}/include",
            f"-I{self.folder}",
        )

    def device(self, variant):
        """The simulated device as a library."""
        variant = variant.removesuffix("-delays")
        target = self.folder / variant / "sim.so"
        flags = self.flags(variant)
        with self._alone():
            if not target.exists():
                self._make(target, *flags, "-shared", *self.device_objects(variant))
        return target

    def linked(self, variant, source, *flags):
        """A program that is linked with the simulated device itself."""
        target = self.folder / variant / f"linked_{source.stem}"
        flags = [*self.flags(variant), f"-I{CSRC}/include", *flags]
        with self._alone():
            if not target.exists():
                self._make(target, *flags, source, *self.device_objects(variant), "-ldl", "-lm")
        return target

    def program(self, variant, sources, rooms=ENGINE, link=()):
        """Link C sources with the files of csrc that match, and return the program."""
        flags = self.flags(variant)
        target = self.folder / variant / sources[0].stem
        with self._alone():
            if not target.exists():
                files = sorted(path for pattern in rooms for path in CSRC.glob(pattern))
                objects = self._compile(variant, [*files, *sources], *INCLUDES)
                self._make(target, *flags, *objects, *link)
        return target


def run(program, *args, interface="v1", timeout=600, **env):
    """Run a program that says "ok" when neither it nor its sanitizer has found anything; return what it printed."""
    done = subprocess.run(
        [str(program), *map(str, args)],
        # A forked child starts threads of its own, which the thread sanitizer refuses by default.
        env=dict(
            os.environ,
            ASCEND_VENC_INTERFACE=interface,
            ASCEND_VENC_SIM_AVCODEC=core.find_codec() or "",
            TSAN_OPTIONS="exitcode=66:die_after_fork=0",
            **env,
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, f"ends with {done.returncode}: {done.stderr[-6000:]}"
    assert "Sanitizer" not in done.stderr, done.stderr[-6000:]
    return done.stdout
