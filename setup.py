# SPDX-License-Identifier: Apache-2.0
"""Build plain shared libraries (engine, simulated device, what programs link for it) and the Cython modules that link
the engine.

Environment, for developers:
  AVENC_CFLAGS, AVENC_LDFLAGS   appended to every compile and link (sanitizers, coverage)
  AVENC_DEBUG=1                 -O0 -g instead of -O2 -g0
  SOURCE_DATE_EPOCH             the time of every file in an sdist, which is then the same to the byte each time
"""

import gzip
import os
import runpy
import sys
import tarfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

LIB_PACKAGE = "ascend_venc._lib"
PLAIN_LIBRARIES = {
    "libavenc": ["csrc/base", "csrc/bitstream", "csrc/load", "csrc/convert", "csrc/engine", "csrc/ports"],
    "libascendvenc_sim": ["csrc/sim"],
}
# What programs in C and C++ link, by the names that it has on an Ascend host: see csrc/sim/link/filter.h.
LINK_PACKAGE = f"{LIB_PACKAGE}.acl"
LINK_LIBRARIES = {
    "libascendcl": "csrc/sim/link/ascendcl.c",
    "libacl_rt": "csrc/sim/link/acl_rt.c",
    "libacl_dvpp": "csrc/sim/link/acl_dvpp.c",
    "libacl_dvpp_mpi": "csrc/sim/link/acl_dvpp_mpi.c",
    "libacl_op_compiler": "csrc/sim/link/acl_op_compiler.c",
}
MODULES = [
    "wait",
    "core",
    "waitset",
    "device",
    "bitstream",
    "packet",
    "frames",
    "device_memory",
    "convert",
    "stream",
    "channel",
    "pyacl.functions",
]
# What is made of pyacl/functions.txt, ascendcl.h and himpi.h: files that Cython includes, and stubs.
GENERATOR = runpy.run_path("scripts/generate_pyacl.py")
GENERATED = "build/generated"
# What is made of ascendcl.h and avenc.h for Cython.
DECLARATIONS = runpy.run_path("scripts/generate_declarations.py")
# What is made of the Cython modules: their stubs.
STUBS = runpy.run_path("scripts/generate_stubs.py")
INCLUDE = ["csrc/include", "csrc", GENERATED]
# What is made of ascend_venc/chips.py: a header of the simulated device's.
CHIPS = runpy.run_path("scripts/generate_chips.py")

OPTIMISE = ["-O0", "-g"] if os.environ.get("AVENC_DEBUG") == "1" else ["-O2", "-g0"]
HARDEN = ["-fstack-protector-strong"]
if OPTIMISE[0] != "-O0":  # glibc refuses to fortify code that is not optimised
    HARDEN += ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
EXTRA_CFLAGS = os.environ.get("AVENC_CFLAGS", "").split()
EXTRA_LDFLAGS = os.environ.get("AVENC_LDFLAGS", "").split()

# Texts are truncated to their buffers on purpose.
C_FLAGS = [
    *OPTIMISE,
    *HARDEN,
    "-std=gnu11",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wno-format-truncation",
    "-pthread",
    *EXTRA_CFLAGS,
]
# A sanitizer's symbols come from its preloaded runtime: -z defs would refuse them.
NO_UNDEFINED = [] if any("-fsanitize" in flag for flag in EXTRA_LDFLAGS) else ["-Wl,-z,defs"]
LINK_FLAGS = ["-Wl,-z,relro,-z,now", "-pthread", *EXTRA_LDFLAGS]
# Cython's temporaries drop const.
CYTHON_FLAGS = [*OPTIMISE, *HARDEN, "-fvisibility=hidden", "-Wno-discarded-qualifiers", *EXTRA_CFLAGS]


class SharedLibrary(Extension):
    """A plain shared library in `ascend_venc/_lib` or below, not a Python module."""

    def __init__(self, name, sources, link_flags=(), package=LIB_PACKAGE):
        folders = {"csrc/include", *(os.path.dirname(source) for source in sources)}
        super().__init__(
            f"{package}.{name}",
            sources,
            depends=sorted(str(path) for root in {*folders, GENERATED} for path in Path(root).glob("*.h")),
            include_dirs=INCLUDE,
            extra_compile_args=C_FLAGS,
            extra_link_args=[*NO_UNDEFINED, *LINK_FLAGS, f"-Wl,-soname,{name}.so", *link_flags],
        )


def plain_library(name, folders):
    # Their threads and their handlers of signals and forks outlive whoever has loaded them.
    return SharedLibrary(
        name,
        sorted(str(path) for folder in folders for path in Path(folder).glob("*.c")),
        link_flags=["-Wl,-z,nodelete"],
    )


def link_library(name, source):
    # Quoted for no shell: the linker gets a $ORIGIN, which the dynamic loader replaces by the file's folder.
    flags = ["-Wl,--filter,$ORIGIN/../libascendvenc_sim.so"]
    return SharedLibrary(name, [source], link_flags=flags, package=LINK_PACKAGE)


class BuildExt(build_ext):
    """Build the plain libraries first: the Cython modules link one of them."""

    def get_ext_filename(self, fullname):
        # Called with the full name or, for a path below a package, with its last part only.
        if fullname.rpartition(".")[2] in {*PLAIN_LIBRARIES, *LINK_LIBRARIES}:
            return os.path.join(*fullname.split(".")) + ".so"
        return super().get_ext_filename(fullname)

    def get_export_symbols(self, ext):
        return [] if isinstance(ext, SharedLibrary) else super().get_export_symbols(ext)

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1

    def build_extensions(self):
        # An interpreter that was built with a run path of its own (pyenv's) hands it to every module: ours look for the
        # engine beside themselves, and nowhere before.
        self.compiler.linker_so = [flag for flag in self.compiler.linker_so if not flag.startswith("-Wl,-rpath")]
        # Also an in-place build builds here first and copies afterwards.
        lib_dir = os.path.join(self.build_lib, *LIB_PACKAGE.split("."))
        for ext in self.extensions:
            if not isinstance(ext, SharedLibrary):
                ext.library_dirs.append(lib_dir)
        every = self.extensions
        for plain in (True, False):
            self.extensions = [ext for ext in every if isinstance(ext, SharedLibrary) == plain]
            super().build_extensions()
        self.extensions = every

    def run(self):
        super().run()
        root = Path("" if self.inplace else self.build_lib)
        GENERATOR["write"](root / "ascend_venc/_lowlevel/pyacl", GENERATOR["stubs"]())
        GENERATOR["write"](root / "ascend_venc/_lowlevel", STUBS["stubs"]())


class Sdist(sdist):
    """As setuptools', but with $SOURCE_DATE_EPOCH: no times, owners, rights or order of the machine that packs it."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None or format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)

        def anonymous(member):
            member.mtime, member.uid, member.gid, member.uname, member.gname = int(epoch), 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        root, name = Path(root_dir or "."), f"{base_name}.tar.gz"
        os.makedirs(os.path.dirname(name), exist_ok=True)
        gz = {"filename": "", "mode": "wb", "mtime": int(epoch)}
        with (
            open(name, "wb") as file,
            gzip.GzipFile(fileobj=file, **gz) as out,
            tarfile.open(None, "w", out) as archive,
        ):
            archive.dereference = True  # hard links, of which the tree to be packed is made, are files
            for path in sorted([root / base_dir, *(root / base_dir).rglob("*")]):
                archive.add(path, path.relative_to(root).as_posix(), recursive=False, filter=anonymous)
        return name


def cython_module(name):
    path = name.replace(".", "/")
    return Extension(
        f"ascend_venc._lowlevel.{name}",
        [f"ascend_venc/_lowlevel/{path}.pyx"],
        depends=[f"csrc/include/{name}.h" for name in ("ascendcl", "avenc", "himpi", "himpi_layout")],
        include_dirs=INCLUDE,
        libraries=["avenc"],
        extra_compile_args=CYTHON_FLAGS,
        extra_link_args=LINK_FLAGS,
        runtime_library_dirs=[f"$ORIGIN/{'../' * name.count('.')}../_lib"],
    )


def extensions():
    GENERATOR["write"](GENERATED, {**DECLARATIONS["sources"](), **GENERATOR["sources"](), **CHIPS["sources"]()})
    return [
        *(plain_library(name, folders) for name, folders in PLAIN_LIBRARIES.items()),
        *(link_library(name, source) for name, source in LINK_LIBRARIES.items()),
        *cythonize(
            [cython_module(name) for name in MODULES],
            include_path=[GENERATED],
            build_dir="build/cython",
            compiler_directives={
                "language_level": 3,
                "binding": True,
                "embedsignature": False,
                "annotation_typing": False,
            },
        ),
    ]


# What packs the sources, or tells about them, compiles nothing; MANIFEST.in says which files are sources.
PACKS = {"sdist", "egg_info", "dist_info"}
COMPILES = {
    "bdist",
    "bdist_egg",
    "bdist_wheel",
    "build",
    "build_ext",
    "develop",
    "editable_wheel",
    "install",
    "install_lib",
}
packs_only = bool(PACKS.intersection(sys.argv)) and not COMPILES.intersection(sys.argv)
setup(cmdclass={"build_ext": BuildExt, "sdist": Sdist}, ext_modules=[] if packs_only else extensions())
