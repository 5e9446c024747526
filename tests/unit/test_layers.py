# SPDX-License-Identifier: Apache-2.0
"""The layer rules of docs/architecture.md, read from the sources: neither a build nor a library is needed.

Each check first proves that it can fail: it is run on a planted violation.
"""

import re
from pathlib import Path

import pytest

from helpers import c_calls

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "ascend_venc"

# L7: the functions that may take the GIL from code that does not hold it, with the reason beside each in its source.
WITH_GIL = {
    ("core.pyx", "check"),
    ("report.pyx", "deliver"),
    ("report.pyx", "hand_over"),
    ("report.pyx", "process"),
}
TAKES_GIL = r"\bwith gil\b|\bPyEval_RestoreThread\((?!PyThreadState)"


@pytest.fixture(autouse=True)
def no_live_objects_left():
    """In place of the suite's fixture: these tests make no native objects and run without a build."""


def sources(folder, *suffixes):
    return sorted(
        path for path in folder.rglob("*") if path.suffix in suffixes and "build" not in path.relative_to(folder).parts
    )


def without_comments(text, suffix):
    if suffix in (".c", ".h"):
        text = re.sub(r"/\*.*?\*/", lambda match: "\n" * match.group().count("\n"), text, flags=re.S)
        return re.sub(r"//[^\n]*", "", text)
    text = re.sub(r'(""".*?""")', lambda match: "\n" * match.group().count("\n"), text, flags=re.S)
    return re.sub(r"#[^\n]*", "", text)


def read(path):
    return without_comments(path.read_text(), path.suffix)


def without_strings(path):
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', read(path))


def matches(pattern, files, text_of=read):
    """Return "file:line" of each line that matches."""
    found = []
    for path in files:
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if re.search(pattern, line):
                found.append(
                    f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{number}: {line.strip()}"
                )
    return found


def c_files():
    return sources(CSRC, ".c", ".h")


def engine_files():
    return [path for path in c_files() if "sim" not in path.parts]


def sim_files():
    return sources(CSRC / "sim", ".c", ".h")


def cython_files():
    return sources(PACKAGE, ".pyx", ".pxd")


def python_files():
    return sources(PACKAGE, ".py")


PYTHON_API = r"\bPython\.h\b|\bPy_[A-Z]|\bPyObject\b"
DLOPEN = r"\bdl(open|sym|info|addr)\s*\(|<dlfcn\.h>"


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (PYTHON_API, "#include <Python.h>"),
        (PYTHON_API, "Py_INCREF(x);"),
        (DLOPEN, 'handle = dlopen("x", 1);'),
    ],
)
def test_layer_patterns_find_a_planted_violation(tmp_path, pattern, line):
    path = tmp_path / "planted.c"
    path.write_text(f"/* {line} */\n{line}\n")
    assert len(matches(pattern, [path])) == 1


def test_l1_csrc_never_mentions_python():
    assert c_files()
    assert matches(PYTHON_API, c_files()) == []


def codec_files():
    return sorted((CSRC / "sim").glob("codec*.c"))


def test_l2_only_the_loader_uses_dlopen():
    loader, core = CSRC / "load" / "paths.c", PACKAGE / "_lowlevel" / "core.pyx"
    allowed = {loader, core, *codec_files()}
    assert matches(DLOPEN, [path for path in [*c_files(), *cython_files()] if path not in allowed]) == []
    assert matches(DLOPEN, [loader]), "the loader itself is expected to match"
    assert matches(DLOPEN, codec_files()), "so is what loads the simulated device's codec"
    (call,) = matches(r"\bdlopen\s*\((?!const)", [core])
    assert "RTLD_NOLOAD" in call, "core.pyx looks things up in what is loaded, and loads nothing"


def test_l3_the_simulated_device_includes_only_its_own_headers_and_libc():
    own = {path.name for path in sim_files() if path.suffix == ".h"} | {"ascendcl.h", "himpi.h"}
    own |= {"sim_chips.h"}  # made by the build, of data
    for path in sim_files():
        for quoted in re.findall(r'#include "([^"]+)"', read(path)):
            assert quoted in own, f"{path.name} includes {quoted}"
        for system in re.findall(r"#include <([^>]+)>", read(path)):
            assert not system.startswith(("lib", "x264", "x265", "Python")), f"{path.name} includes {system}"


def test_l3_only_the_loader_names_the_simulated_device():
    allowed = {
        CSRC / "load" / "ascend.c",  # its search list
        PACKAGE / "_lowlevel" / "core.pyx",  # hands the loader the path that this installation carries
    }
    files = [path for path in [*engine_files(), *cython_files(), *python_files()] if path not in allowed]
    assert matches(r"aclsim_|libascendvenc_sim", files) == []
    assert matches(r"aclsim_|libascendvenc_sim", sorted(allowed))


def test_l4_extern_declarations_of_our_libraries_are_made_of_the_headers_for_one_pxd_file():
    ours = "|".join(re.escape(path.name) for path in c_files() if path.suffix == ".h")
    extern = rf'cdef extern from "(?:{ours}|acl\w*\.h|hi_\w+\.h)"'
    for pattern in (extern, r'^include "(?:ascendcl|avenc|\w+_api)\.pxi"'):
        places = {hit.split(":")[0] for hit in matches(pattern, cython_files())}
        assert places == {"ascend_venc/_lowlevel/cavenc.pxd"}


def test_l5_acl_functions_are_called_through_the_table_only():
    functions = re.findall(r"X\((?:RUNTIME|MEDIA), \w+, [\w *]+, (\w+),", (CSRC / "include" / "ascendcl.h").read_text())
    assert len(functions) > 100
    names = "|".join(sorted(functions, key=len, reverse=True))
    direct = rf"(?<![\w.>])(?:{names})\s*\("
    files = [path for path in [*engine_files(), *cython_files()] if path.name != "ascendcl.h"]
    assert re.search(direct, "rc = aclrtMalloc(&p, 1, 0);")
    assert not re.search(direct, "rc = api->aclrtMalloc(&p, 1, 0);")
    assert not re.search(direct, "rc = api.aclrtMalloc(&p, 1, 0)")
    assert matches(direct, files, without_strings) == []


def test_l6_acl_errors_are_made_in_one_place():
    made = r"(?<!class )\b(?:AclError|FrameError|DeviceLostError|Acl\w+Error)\("
    assert re.search(made, "raise AclError(1)")
    files = [path for path in [*python_files(), *cython_files()] if path != PACKAGE / "errors.py"]
    assert matches(made, files) == []


def gil_takers(path):
    """Names of the functions of a .pyx that acquire the GIL, in the signature or in the body."""
    found = set()
    current = None
    for line in read(path).splitlines():
        header = re.match(r"\s*(?:cdef|cpdef|def)\s+(?:[\w *]+\s)?\*?(\w+)\s*\(", line)
        if header:
            current = header.group(1)
        if re.search(TAKES_GIL, line):
            found.add((path.name, current))
    return found


def test_l7_the_gil_is_taken_only_where_the_list_says(tmp_path):
    planted = tmp_path / "x.pyx"
    planted.write_text(
        "cdef void cb(int x) noexcept with gil:\n    pass\ncdef int back() nogil:\n    PyEval_RestoreThread(state)\n"
    )
    assert gil_takers(planted) == {("x.pyx", "cb"), ("x.pyx", "back")}
    found = set().union(*(gil_takers(path) for path in cython_files()))
    assert found <= WITH_GIL
    for name, function in found:
        (path,) = (path for path in cython_files() if path.name == name)
        lines = path.read_text().splitlines()
        places = [i for i, line in enumerate(lines) if re.search(TAKES_GIL, line) and not line.strip().startswith("#")]
        assert all(any("#" in lines[j] for j in range(max(0, i - 4), i + 3)) for i in places), (name, function)


def imports_of(path):
    text = read(path)
    found = set(re.findall(r"^\s*(?:from|import)\s+([\w.]+)", text, flags=re.M))
    for module, names in re.findall(r"^\s*from\s+(\.+[\w.]*)\s+import\s+([^\n(]+)", text, flags=re.M):
        found |= {f"{module}.{name.strip().split(' ')[0]}" for name in names.split(",")}
    return {name.strip(".").replace("..", ".") for name in found}


def test_l8_encoder_and_facade_do_not_know_each_other():
    encoder = imports_of(PACKAGE / "encoder.py")
    assert "errors" in encoder, "the parser of imports finds what is there"
    assert not encoder & {"acl", "ctypes", "ascend_venc.acl"}
    facade = PACKAGE / "acl.py"
    if facade.exists():
        assert not imports_of(facade) & {"encoder", "ctypes", "ascend_venc.encoder"}


def test_l9_the_buffer_protocol_is_implemented_where_memory_goes_in_and_out():
    found = {
        hit.split(":")[0]
        for hit in matches(
            r"def __getbuffer__|def __releasebuffer__|def __buffer__", [*cython_files(), *python_files()]
        )
    }
    assert found == {"ascend_venc/_lowlevel/frames.pyx", "ascend_venc/_lowlevel/packet.pyx"}


def module_name(root, path):
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(name, is_package, text, names):
    """Modules of the package that one imports anywhere: at its top, in functions, for type checkers, by cimport."""
    found = set()
    base = name.split(".") if is_package else name.split(".")[:-1]
    statement = r"^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n#]+)"
    for dots, module, imports in re.findall(statement, text, flags=re.M):
        if dots:
            start = base[: len(base) - len(dots) + 1]
        elif module.split(".")[0] == names[0]:
            start = []
        else:
            continue
        target = [*start, *(module.split(".") if module else [])]
        for item in re.split(r"[\s,()]+", re.sub(r"\bas\s+\w+", "", imports)):
            inner = ".".join([*target, item])
            if item:
                found.add(inner if inner in names else ".".join(target))
    for line in re.findall(r"^[ \t]*c?import[ \t]+([^\n#]+)", text, flags=re.M):
        found |= {item.split()[0] for item in line.split(",") if item.split()}
    return found & set(names) - {name}


def imports_among(root):
    paths = {module_name(root.parent, path): path for path in sources(root, ".py", ".pyx", ".pxd")[::-1]}
    edges = {}
    for path in sources(root, ".py", ".pyx", ".pxd"):
        name = module_name(root.parent, path)
        names = [root.name, *paths]
        edges.setdefault(name, {})
        for target in imported_modules(name, path.stem == "__init__", read(path), names):
            edges[name].setdefault(target, path.name)
    return edges


def test_modules_a_planted_import_circle_is_found(tmp_path):
    package = tmp_path / "house"
    (package / "low").mkdir(parents=True)
    (package / "__init__.py").write_text("from .one import first\nfrom .two import second as other\n")
    (package / "one.py").write_text('"""from .two import second"""\nimport os  # from .two import second\n')
    (package / "two.py").write_text("from . import one as first\nfrom .low.three import (\n    third,\n)\n")
    (package / "low" / "__init__.py").write_text("")
    (package / "low" / "three.pyx").write_text("from .four cimport *\nfrom .. import one\n")
    (package / "low" / "four.pxd").write_text("from libc.stdint cimport uint8_t\n")
    edges = imports_among(package)
    assert set(edges["house.two"]) == {"house.one", "house.low.three"}
    assert set(edges["house.low.three"]) == {"house.low.four", "house.one"}
    assert c_calls.circles(edges) == []
    for name, line in [
        ("one.py", "def late():\n    from .two import second\n"),
        ("one.py", "if TYPE_CHECKING:\n    from house.two import second\n"),
        ("one.py", "import house.two\n"),
        ("low/four.pxd", "from ..two cimport second\n"),
    ]:
        before = (package / name).read_text()
        (package / name).write_text(before + line)
        assert len(c_calls.circles(imports_among(package))) == 1, line
        (package / name).write_text(before)


def test_modules_import_each_other_without_a_circle():
    edges = imports_among(PACKAGE)
    assert "ascend_venc._lowlevel.channel" in edges["ascend_venc.encoder"], "the reader of imports finds what is there"
    assert "ascend_venc._lowlevel.stream" in edges["ascend_venc._lowlevel.channel"]
    assert c_calls.circles(edges) == [], "modules that import each other in a circle"


# L11: circles that are still there among the files of the simulated device. This list may only shrink.
CIRCLES_OF_THE_SIMULATED_DEVICE = [
    ["entry", "sim"],  # sim.h has inline functions of entry.c, which uses others of them
]


def circles_of(root, paths):
    """Return (circles among the files, the calls that make them, one to a line)."""
    edges = c_calls.calls(c_calls.read_units(root, paths))
    found = c_calls.circles(edges)
    return found, "\n".join(line for circle in found for line in c_calls.explain(edges, circle))


PLANTED = {
    "room/upper.c": """
        #include "lower.h"
        /* lower_calls_back(); */
        static int hidden(void) { return 1; }
        int upper(void) { return lower() + hidden() + lower_is_ready; }
        int upper_second(int (*run)(void)) { return run(); }
        """,
    "lower.h": "int lower(void);\nint upper(void);\n",
    "lower.c": """
        #include "lower.h"
        static const struct { int (*upper)(void); } table = {.upper = 0};
        static int hidden(void) { return 2; }
        int lower(void) { log("upper()"); return hidden() + table.upper() + api->upper() + '('; }
        __attribute__((constructor)) static void set_up(void) { when_asked(upper, &table); }
        """,
    "apart.c": "int apart(void) { return apart_too(); }\nint apart_too(void) { return apart(); }\n",
}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("lower.c", "int more(void) { return upper_second(0); }", "lower calls upper_second of room/upper"),
        ("lower.c", "int more(void) {\n    return\n        upper\n        (); }", "lower calls upper of room/upper"),
        ("lower.h", "static inline int more(void) { return upper(); }", "lower calls upper of room/upper"),
        ("lower.h", "#define MORE(x) \\\n    upper()\n", None),  # that nobody uses
        (
            "lower.c",
            "#define MORE(x) OTHER(x)\n#define OTHER(x) upper()\nint more(void) { MORE(1); }",
            "lower calls upper",
        ),
        (
            "lower.c",
            "#define MAKE(x) int x(void) { return upper(); }\nMAKE(one)\nMAKE(two)\nint z(void) { }",
            "lower calls upper",
        ),
    ],
)
def test_l11_the_reader_finds_a_planted_circle_and_nothing_else(tmp_path, name, text, says):
    for path, content in PLANTED.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    files = sources(tmp_path, ".c", ".h")
    assert circles_of(tmp_path, files) == ([], "")
    with (tmp_path / name).open("a") as file:
        file.write(f"\n{text}\n")
    found, calls = circles_of(tmp_path, files)
    assert found == ([["lower", "room/upper"]] if says else [])
    if says:
        assert says in calls and "room/upper calls lower of lower" in calls


def test_l11_the_files_of_csrc_call_each_other_without_a_circle():
    units = c_calls.read_units(CSRC, engine_files())
    assert "avi_task_post" in units["base/taskq"].public, "the reader of functions finds what is there"
    assert "base/status" in c_calls.calls(units)["load/paths"], "and so does the reader of calls"
    found, calls = circles_of(CSRC, engine_files())
    assert found == [], f"files that call each other in a circle:\n{calls}"


def test_l11_circles_in_the_simulated_device_only_become_fewer():
    found, calls = circles_of(CSRC / "sim", sim_files())
    new = [circle for circle in found if not any(set(circle) <= set(old) for old in CIRCLES_OF_THE_SIMULATED_DEVICE)]
    assert new == [], f"files that call each other in a new circle:\n{calls}"
    assert found == CIRCLES_OF_THE_SIMULATED_DEVICE, f"fewer than listed: the list is to become {found}"


def test_no_module_of_the_product_has_a_name_that_says_nothing():
    forbidden = {"utils", "util_", "helpers", "misc", "common", "manager"}
    assert [path for path in [*c_files(), *cython_files(), *python_files()] if path.stem in forbidden] == []


# Words that an earlier version had of its own; the field says: coalescing delay, flush, ready, task queue, helper
# thread, eventfd of a wait set.
OWN_WORDS = r"(?i)\b(linger\w*|hurry\w*|news|spent|assistants?|notifiers?|selectors?|avi_pace)\b"


def all_lines(path):
    return path.read_text()


def test_names_are_the_fields_terms(tmp_path):
    planted = tmp_path / "planted.c"
    planted.write_text("int lingering; /* has news */\nint newsletter;\n")
    assert len(matches(OWN_WORDS, [planted], all_lines)) == 1
    pages = [*ROOT.glob("*.md"), *sources(ROOT / "docs", ".md"), *sources(ROOT / "examples", ".md", ".py")]
    assert len(pages) > 10
    files = [*c_files(), *cython_files(), *python_files(), *sources(PACKAGE, ".pyi", ".txt"), *pages]
    assert matches(OWN_WORDS, files, all_lines) == []


def files_named_in(text):
    """Paths in backquotes that begin with a folder of this project."""
    return re.findall(r"`((?:csrc|ascend_venc|tests|scripts)/[\w/.]*)`", text)


def test_files_that_architecture_md_names_exist():
    assert files_named_in("`csrc/engine/slot.c`, `slot.c` and `tests/unit/native/`") == [
        "csrc/engine/slot.c",
        "tests/unit/native/",
    ]
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = files_named_in(text)
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).exists()] == []
    c_names = set(re.findall(r"`(?:[a-z0-9_]+/)*([a-z0-9_]+\.[ch])`", text))
    assert c_names - {path.name for path in [*c_files(), *sources(ROOT / "tests", ".c", ".h")]} == set()
    # Short names in brackets: test files of that name, or scenarios on the loop-back port.
    short = {name for bracket in re.findall(r"\[(`[^\]]*`)\]", text) for name in re.findall(r"`(\w+)`", bracket)}
    assert {"ownership", "loop_channels"} <= short
    places = [(ROOT / "tests" / "integration", "test_{}.py"), (ROOT / "tests" / "unit" / "native", "{}.c")]
    missing = [name for name in short if not any((place / form.format(name)).exists() for place, form in places)]
    assert missing == []


LONG = 450  # lines; a longer file has its reason in docs/architecture.md


def test_long_files_have_their_reason_in_architecture_md():
    text = (ROOT / "docs" / "architecture.md").read_text().split("## 14.")[1]
    reasons = set(re.findall(r"^\| `([\w/.]+)` \|", text, flags=re.M))
    files = [*c_files(), *cython_files(), *python_files()]
    long = {str(path.relative_to(ROOT)) for path in files if len(path.read_text().splitlines()) > LONG}
    assert long and reasons == long
