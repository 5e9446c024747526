# SPDX-License-Identifier: Apache-2.0
"""What the build makes of the Cython modules in ascend_venc/_lowlevel for type checkers and editors: a stub of each.

What a function takes and returns stands in its `def`: as C types, or as annotations where those would say less, which
Cython leaves alone (annotation_typing in setup.py). None is returned where nothing stands. Python 3.9 and nothing but
the standard library.
"""

import ast
import inspect
import re
import textwrap
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "ascend_venc" / "_lowlevel"
NOTE = "# Made by scripts/generate_stubs.py at build: change the module instead.\n"
C_TYPES = {"": "Any", "object": "Any", "bint": "bool", "double": "float", "list": "list[Any]", "dict": "dict[str, Any]"}
INTEGERS = r"int|unsigned int|u?int\d\d_t|Py_ssize_t"
# Members that C types say too little of.
MEMBERS = {
    "Channel.successor": "Channel | None",
    "Converter.pixel_format": "PixelFormat",
    "Device.interface": "Interface",
    "DeviceFrame.device": "int | None",
    "DeviceFrame.dtype_shape": "tuple[int, ...] | None",
    "Stream.stall": "float | None",
}
BUFFER = (
    "    def __buffer__(self, flags: int, /) -> memoryview: ...\n"
    "    def __release_buffer__(self, view: memoryview, /) -> None: ...\n"
)
HIDDEN = {"__dealloc__", "__reduce__", "__releasebuffer__", "__repr__"}
SOURCES = {  # of the names in annotations, besides the classes of the modules themselves
    "collections.abc": "Callable Iterable",
    "concurrent.futures": "Future",
    "fractions": "Fraction",
    "numpy": "uint8",
    "numpy.typing": "NDArray",
    "os": "PathLike",
    "queue": "SimpleQueue",
    "typing": "Any Literal",
    "typing_extensions": "final",
    "..color": "Vui",
    "..config": "EncoderConfig",
    "..interface_choice": "InterfaceChoice",
    "..literals": "Codec Interface OnFull PictureKind PixelFormat",
    "..sei": "SeiMessage",
}
TEXT = r'(?:\n *(?P<%s>""".*?"""))?'
STATEMENT = re.compile(
    r"^(?P<final>@cython\.final\n)?(?:cdef )?class (?P<cls>\w+)[^\n]*:"
    + TEXT % "cls_text"
    + r"|^ *(?P<decorator>@[\w.]+)$"
    r"|^(?P<indent> *)(?:def|cpdef (?P<c_type>\w+)) (?P<name>\w+)\((?P<parameters>[^()]*)\)"
    r"(?: except -1)?(?: -> (?P<returns>[^\n]+))?:" + TEXT % "text" + r"|^(?P<constant>[a-zA-Z]\w*: [^\n=]+) = ",
    flags=re.M | re.S,
)


def python_type(c_type):
    return "int" if re.fullmatch(INTEGERS, c_type) else C_TYPES.get(c_type, c_type)


def separated(words):
    """Parameters, which may have commas of their own in brackets."""
    found, depth = [""], 0
    for letter in words:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [" ".join(word.split()) for word in found if word.strip()]


def parameter(text):
    """One of a `def`, as a stub has it."""
    declared, equals, default = (word.strip() for word in text.partition("="))
    if declared in ("self", "*"):
        return declared
    name, colon, kind = declared.partition(": ")
    if declared.startswith("*"):
        kind = "Any"
    elif not colon:
        *c_type, name = declared.replace(" not None", "").split()
        kind = python_type(" ".join(c_type))
        nullable = default == "None" or (kind[0].isupper() and not declared.endswith(" not None"))
        kind += " | None" if nullable and kind != "Any" else ""
    return f"{name}: {kind}{f' = {default}' if equals else ''}"


def documented(head, literal, indent):
    """A definition with its docstring; that of a class without the signature that CPython reads in front of it."""
    text = inspect.cleandoc(ast.literal_eval(literal).rpartition("\n--\n")[2].lstrip("\n")) if literal else ""
    if not text:
        return textwrap.indent(f"{head} ...\n", indent)
    end = '\n"""' if "\n" in text else '"""'
    body = '"""' + text.replace("\\", "\\\\") + end
    return textwrap.indent(f"{head}\n{textwrap.indent(body, '    ')}\n", indent)


def text_of(path):
    """A module with the parts that it includes."""
    return re.sub(r'^include "(\w+\.pyx)".*', lambda part: (FOLDER / part[1]).read_text(), path.read_text(), flags=re.M)


def members(text, cls):
    """Properties for what a class shows of its own."""
    body = re.search(rf"^cdef class {cls}:\n(.*?)(?=^(?:cdef )?class |\Z)", text, flags=re.M | re.S)
    for c_type, name in re.findall(r"^    cdef readonly (\w+) (\w+)", body[1] if body else "", flags=re.M):
        yield f"    @property\n    def {name}(self) -> {MEMBERS.get(f'{cls}.{name}') or python_type(c_type)}: ...\n"


def function(found, cls, decorator):
    """A `def`, in a class or not; "" for what only Python calls."""
    name, parameters = found["name"], separated(found["parameters"])
    returns = found["returns"] or (python_type(found["c_type"]) if found["c_type"] else "None")
    if name == "__getbuffer__":
        return BUFFER
    if name in HIDDEN or re.match("_[^_]", name) or (name, parameters) == ("__init__", ["self"]):
        return ""
    if name == "__cinit__":
        name, parameters, returns = "__new__", ["cls", *parameters[1:]], cls
    given = ", ".join(each if each == "cls" else parameter(each) for each in parameters)
    return documented(f"{decorator}def {name}({given}) -> {returns}:", found["text"], found["indent"])


def body_of(path):
    declared = path.with_suffix(".pxd").read_text() if path.with_suffix(".pxd").exists() else text_of(path)
    lines, cls, decorator = [], "", ""
    for found in STATEMENT.finditer(text_of(path)):
        if found["decorator"]:
            decorator = f"{found['decorator']}\n"
            continue
        if found["cls"]:
            cls = found["cls"]
        if found["constant"]:
            lines.append(f"{found['constant']}\n")
        elif cls[:1] == "_" and (found["cls"] or found["indent"]):
            pass
        elif found["cls"]:
            head = f"@final\nclass {cls}:" if found["final"] else f"class {cls}:"
            lines += ["\n", documented(head, found["cls_text"], ""), *members(declared, cls), "\n"]
        else:
            lines.append(function(found, cls, decorator))
        decorator = ""
    return "".join(lines)


def stubs():
    """The text of each stub, by name."""
    paths = sorted(FOLDER.glob("*.pyx"))
    every = "".join(path.read_text() for path in paths)
    bodies = {path.stem: body_of(path) for path in paths if f'include "{path.name}"' not in every}
    sources = {name: module for module, names in SOURCES.items() for name in names.split()}
    for module, body in bodies.items():
        sources.update(dict.fromkeys(re.findall(r"^class (\w+)", body, flags=re.M), f".{module}"))
    found = {}
    for module, body in bodies.items():
        words = set(re.findall(r"\b[A-Za-z]\w*", re.sub(r'""".*?"""', "", body, flags=re.S)))
        imports = sorted((sources[word], word) for word in words & set(sources) if sources[word] != f".{module}")
        lines = "".join(f"from {source} import {word}\n" for source, word in imports)
        found[f"{module}.pyi"] = f"{NOTE}{lines}\n{body}"
    return found
