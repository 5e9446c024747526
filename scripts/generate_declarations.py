# SPDX-License-Identifier: Apache-2.0
"""What the build makes of csrc/include/ascendcl.h and avenc.h: the same for Cython, ascendcl.pxi and avenc.pxi.

The tables acl_api and himpi_api, which macros make there, are generate_pyacl.py's. Python 3.9 and nothing but the
standard library.
"""

import re
from pathlib import Path

INCLUDE = Path(__file__).resolve().parents[1] / "csrc" / "include"
# What headers do not say in words that can be read here: comments, the preprocessor's lines, C++.
IGNORED = r'/\*.*?\*/|//[^\n]*|^#(?:[^\n]*\\\n)*[^\n]*|^extern "C" \{'
STATEMENT = (
    r"enum \{(?P<values>.*?)\}|typedef struct \w+ \{(?P<members>.*?)\} (?P<name>\w+)|typedef struct (?P<opaque>\w+) \w+"
    r"|typedef (?P<type>[^;]+)|AVENC_API (?P<function>[^;]+)"
)


def members(text):
    for declaration in text.split(";")[:-1]:
        kind, names = re.fullmatch(r" ?((?:const )?\w+) (.+)", declaration).groups()
        yield from (f"    {kind} {name}" for name in names.split(", "))


def declarations(header):
    """The text of one .pxi."""
    source = (INCLUDE / header).read_text()
    names = re.findall(r"^    X\((A\w+), -?\d+", source, flags=re.M)  # codes, which are listed for several purposes
    lines = []
    for found in re.finditer(f"(?:{STATEMENT});", re.sub(IGNORED, "", source, flags=re.M | re.S), flags=re.S):
        kind = found.lastgroup if found["name"] is None else "members"
        text = " ".join(found[kind].split())
        if kind == "values":
            names += re.findall(r"(\w+)(?: = [^,]+)?(?:,|$)", text)
        elif kind == "members" and not found["name"].endswith("_api"):
            lines += [f"ctypedef struct {found['name']}:", *members(text)]
        elif kind == "opaque":
            lines += [f"ctypedef struct {text}:", "    pass"]
        elif kind == "type":
            lines.append(f"ctypedef {text}{' noexcept nogil' if '(*' in text else ''}")
        elif kind == "function":
            lines.append(text.replace("(void)", "()").replace("*const ", "*"))
    every = [*(f"enum: {name}" for name in names), *lines]
    note = "# Made by scripts/generate_declarations.py at build: change the header instead.\n"
    return f'{note}cdef extern from "{header}" nogil:\n' + "".join(f"    {line}\n" for line in every)


def sources():
    """The text of each file that Cython includes, by name."""
    return {f"{name}.pxi": declarations(f"{name}.h") for name in ("ascendcl", "avenc")}
