# SPDX-License-Identifier: Apache-2.0
"""C programs with the engine's own files and a simulated device, compiled once for each kind of build."""

import os
import runpy
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
CFLAGS = ["-std=gnu11", "-O1", "-g", "-fno-omit-frame-pointer", "-pthread", "-Wno-format-truncation"]
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
    """One folder for a run of the suite. Each file is compiled at most once for a variant, when it is first needed."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self._without_runtime = {}
        self._built = set()
        write_generated(self.folder)

    def flags(self, variant):
        """The flags of a variant; skips where its sanitizer has no runtime on this machine."""
        if variant not in self._without_runtime:
            self._without_runtime[variant] = self._try(variant)
        if self._without_runtime[variant]:
            pytest.skip(f"this machine has no runtime for {variant}: {self._without_runtime[variant][-200:]}")
        return VARIANTS[variant]

    def _try(self, variant):
        (self.folder / variant).mkdir()
        probe = self.folder / variant / "probe"
        probe.with_suffix(".c").write_text("int main(void) { return 0; }\n")
        for command in (["gcc", *CFLAGS, *VARIANTS[variant], f"{probe}.c", "-o", str(probe)], [str(probe)]):
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                return done.stderr or f"it ends with {done.returncode}"
        return ""

    def _compile(self, variant, sources, *flags):
        """Compile what has not been compiled yet, some at a time; return the objects."""
        named = {source: self.folder / variant / ("_".join(source.parts[-3:]) + ".o") for source in sources}
        missing = [source for source in named if named[source] not in self._built]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(
                lambda one: compile_c(*self.flags(variant), *flags, "-c", one, "-o", named[one]), missing
            ):
                pass
        self._built.update(named.values())
        return list(named.values())

    def device(self, variant):
        """The simulated device with that sanitizer; it knows no delays."""
        variant = variant.removesuffix("-delays")
        target = self.folder / variant / "sim.so"
        self.flags(variant)
        if target not in self._built:
            objects = self._compile(
                variant,
                sorted((CSRC / "sim").glob("*.c")),
                "-fPIC",
                "-fvisibility=hidden",
                f"-I{CSRC}/include",
                f"-I{self.folder}",
            )
            compile_c(*self.flags(variant), "-shared", *objects, "-o", target)
            self._built.add(target)
        return target

    def program(self, variant, sources, rooms=ENGINE, link=()):
        """Link C sources with the files of csrc that match, and return the program."""
        self.flags(variant)
        target = self.folder / variant / sources[0].stem
        if target not in self._built:
            files = sorted(path for pattern in rooms for path in CSRC.glob(pattern))
            objects = self._compile(variant, [*files, *sources], *INCLUDES)
            compile_c(*self.flags(variant), *objects, *link, "-o", target)
            self._built.add(target)
        return target


def run(program, *args, interface="v1", timeout=110):
    """Run a program that says "ok" when neither it nor its sanitizer has found anything; return what it printed."""
    done = subprocess.run(
        [str(program), *map(str, args)],
        # A forked child starts threads of its own, which the thread sanitizer refuses by default.
        env=dict(
            os.environ,
            ASCEND_VENC_INTERFACE=interface,
            ASCEND_VENC_SIM_AVCODEC=core.find_codec() or "",
            TSAN_OPTIONS="exitcode=66:die_after_fork=0",
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, f"ends with {done.returncode}: {done.stderr[-6000:]}"
    assert "Sanitizer" not in done.stderr, done.stderr[-6000:]
    return done.stdout
