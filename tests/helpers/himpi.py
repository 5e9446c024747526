# SPDX-License-Identifier: Apache-2.0
"""csrc/include/himpi.h for tests, read from the header: functions, constants, structures for ctypes."""

import ctypes
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "csrc" / "include" / "himpi.h"
LAYOUT = HEADER.with_name("himpi_layout.h")

_TEXT = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)

# (presence, result, name, parameters)
FUNCTIONS = re.findall(r"^    X\((REQUIRED|OPTIONAL), (\w+), (hi_mpi_\w+), \((.*?)\)\)", _TEXT, flags=re.M)

ENUMS = re.findall(r"typedef int32_t (hi_\w+);\nenum \{", _TEXT)


def _constants():
    found = {name: value for name, value in re.findall(r"X\((HI_ERR_\w+), (0x[0-9A-F]+)\)", _TEXT)}
    for block in re.findall(r"enum \{(.*?)\}", _TEXT, flags=re.S):
        found.update(re.findall(r"(\w+) = (0x[0-9a-f]+|\d+)", block))
    found.update(re.findall(r"#define (HI_DVPP_EPOLL_\w+)\s+(0x[0-9a-f]+|\d+)u", _TEXT))
    return {name: int(value, 0) for name, value in found.items()}


# {constant: value}; codes are unsigned, as the vendor's headers have them
CONSTANTS = _constants()


def sizes_and_offsets(which="HIMPI_LAYOUT"):
    """({structure: bytes}, {(structure, member): offset}) of one list of himpi_layout.h."""
    block = re.search(rf"#define {which}\(SIZE, AT\) \\\n(.*?[^\\])\n\n", LAYOUT.read_text(), flags=re.S).group(1)
    sizes = {name: int(size) for name, size in re.findall(r"SIZE\((\w+), (\d+)\)", block)}
    offsets = {(name, member): int(at) for name, member, at in re.findall(r"AT\((\w+), (\w+), (\d+)\)", block)}
    return sizes, offsets


def error(name):
    """A code as the functions return it: error("ILLEGAL_PARAM") of VENC, error("SYS_BUSY") of SYS."""
    value = CONSTANTS.get(f"HI_ERR_VENC_{name}", CONSTANTS.get(f"HI_ERR_{name}"))
    return ctypes.c_int32(value).value


# ---- structures ------------------------------------------------------------------------------------------------------

_TYPES = {
    "hi_u8": ctypes.c_uint8,
    "hi_u16": ctypes.c_uint16,
    "hi_s32": ctypes.c_int32,
    "hi_u32": ctypes.c_uint32,
    "hi_u64": ctypes.c_uint64,
    "hi_double": ctypes.c_double,
    "hi_venc_chn": ctypes.c_int32,
    "hi_bool": ctypes.c_int32,
    "void": None,
    **{name: ctypes.c_int32 for name in ENUMS},
}


def _fields(body):
    """[(name, type)] of the members in a structure's body, and the names of its anonymous members."""
    fields, anonymous = [], []
    for union, line in re.findall(r"union \{(.*?)\};|([^;{}]+);", body, flags=re.S):
        if union:
            kind = type("union", (ctypes.Union,), {"_fields_": _fields(union)[0]})
            anonymous.append(f"_union{len(anonymous)}")
            fields.append((anonymous[-1], kind))
            continue
        declaration = line.strip().replace("HI_UNKNOWN_TAIL", "hi_u32 unknown_tail[32]")
        base, names = re.match(r"(\w+) (.*)", declaration, flags=re.S).groups()
        for declared in names.split(","):
            pointer, name, length = re.match(r"\s*(\*?)(\w+)(?:\[(\w+)\])?", declared).groups()
            kind = _TYPES[base]
            if pointer:
                kind = ctypes.c_void_p
            if length:
                kind = kind * (int(length) if length.isdigit() else CONSTANTS[length])
            fields.append((name, kind))
    return fields, anonymous


def _structures():
    pattern = r"typedef (struct|union) (\w+) \{\n(.*?)\n\} \2;|typedef (hi_venc_\w+) (hi_venc_\w+);"
    for kind, name, body, of, alias in re.findall(pattern, _TEXT, flags=re.S):
        if alias:
            _TYPES[alias] = _TYPES[of]
            continue
        fields, anonymous = _fields(body)
        base = ctypes.Structure if kind == "struct" else ctypes.Union
        _TYPES[name] = type(name, (base,), {"_anonymous_": anonymous, "_fields_": fields})


_structures()


def structure(name):
    """The ctypes class of a structure of the header."""
    return _TYPES[name]


def bind(library):
    """Give every function of the list in a loaded library its types. Pointers are void *: pass ctypes.byref."""
    for _, result, name, parameters in FUNCTIONS:
        function = getattr(library, name)
        function.restype = _TYPES[result]
        function.argtypes = (
            []
            if parameters == "void"
            else [
                ctypes.c_void_p if "*" in one else _TYPES[one.replace("const ", "").split()[0]]
                for one in parameters.split(",")
            ]
        )
