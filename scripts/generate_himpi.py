# SPDX-License-Identifier: Apache-2.0
"""What the build makes of csrc/include/himpi.h for the facade's `acl.himpi`: see generate_pyacl.py, which runs this.

    himpi_api.pxi     structures, codes and the table of functions, for cavenc.pxd
    himpi_members.h   of each structure, which members a dict has, where they are and what they are; .pxi: the same for
                      functions.pyx
    the bodies of the functions that functions.txt does not call "written"

Python 3.9 and nothing but the standard library.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = ROOT / "csrc" / "include" / "himpi.h"

# C types by what they are in a dict. Enums and hi_bool are 32-bit ints, all pointers are addresses.
KINDS = {
    "hi_s32": "S32",
    "hi_u32": "U32",
    "hi_u8": "U8",
    "hi_u16": "U16",
    "hi_u64": "U64",
    "hi_double": "DOUBLE",
    "hi_bool": "S32",
    "hi_mod_id": "S32",
    "hi_venc_chn": "S32",
}
# Members of which one is meant, by the value of another: (that one, the prefix of its constants, the end of the names).
# An empty first word: by an argument of the function, and all that are given go in.
CHOICES = {
    "hi_venc_attr": ("type", "HI_PT_", "_attr"),
    "hi_venc_rc_attr": ("rc_mode", "HI_VENC_RC_MODE_", ""),
    "hi_venc_gop_attr": ("gop_mode", "HI_VENC_GOP_MODE_", ""),
    "hi_venc_mod_param": ("mod_type", "HI_VENC_MOD_", "_mod_param"),
    "hi_venc_rc_param": ("", "HI_VENC_RC_MODE_", "_param"),
}
ALL_IN_RESULTS = {"hi_venc_gop_attr"}  # whichever is meant
# What pyACL's dicts do not have, in neither direction; and what its setters ignore.
ABSENT = {
    "hi_venc_attr": "jpeg_attr",
    "hi_venc_rc_attr": "h264_qpmap h265_qpmap mjpeg_cbr mjpeg_vbr mjpeg_fixqp",
    "hi_venc_gop_attr": "adv_smart_p bipred_b",
    "hi_venc_pack": "data_type pack_info",
    "hi_venc_stream": "pack h264_info h265_info h264_adv_info h265_adv_info",
}
IGNORED = {"hi_venc_chn_param": "crop_info frame_rate"}
# A structure whose length nobody has printed ends with members that pyACL gives as one list.
TAILS = {"hi_venc_slice_split": "reserved"}
# pyACL's texts for what should be a dict. The modes of rate control are the only parts that may not be left out.
REQUIRED = r"hi_venc_h26[45]_(cbr|vbr|avbr|qvbr|cvbr|fixqp)"
OF_CHANNELS = r"hi_venc_(chn|rc|gop|h26[45])?_?attr"
NOT_WRITTEN = {"hi_mpi_sys_ctl_epoll", "hi_mpi_venc_release_stream"}  # their structure is no result, though not const
CASTS = {"hi_s32": "uint32_t", "hi_u32": "int32_t"}  # of functions that return a value instead of a code


def _text():
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)


def constants(text):
    found = {}
    for block in re.findall(r"enum \{(.*?)\}", text, flags=re.S):
        found.update({name: int(value, 0) for name, value in re.findall(r"(\w+) = (0x[0-9a-fA-F]+|\d+)", block)})
    return found


class Member:
    def __init__(self, kind, pointer, name, length, in_union):
        self.kind, self.pointer, self.name, self.length, self.in_union = kind, pointer, name, length, in_union


def _members(body, in_union=False):
    found = []
    for union, line in re.findall(r"union \{(.*?)\};|([^;{}]+);", body, flags=re.S):
        if union:
            found += _members(union, True)
            continue
        declaration = line.strip().replace("HI_UNKNOWN_TAIL", "hi_u32 unknown_tail[32]")
        kind, names = re.match(r"(\w+) (.*)", declaration, flags=re.S).groups()
        for declared in names.split(","):
            pointer, name, length = re.match(r"\s*(\*?)(\w+)(?:\[(\w+)\])?", declared).groups()
            found.append(Member(kind, bool(pointer), name, length, in_union))
    return found


class Header:
    """himpi.h: `structures` {name: [Member]}, `aliases`, `enums`, `constants`, `functions` as rows."""

    def __init__(self):
        text = _text()
        self.constants = constants(text)
        self.codes = re.findall(r"X\((HI_ERR_\w+), 0x", text)
        self.enums = set(re.findall(r"typedef int32_t (hi_\w+);", text)) - {"hi_s32"}
        self.structures, self.aliases = {}, {}
        for name, body, of, alias in re.findall(
            r"typedef struct (\w+) \{\n(.*?)\n\} \1;|typedef (hi_venc_\w+) (hi_venc_\w+);", text, flags=re.S
        ):
            if alias:
                self.aliases[alias] = of
                self.structures[alias] = self.structures[of]
            else:
                self.structures[name] = _members(body)
        self.functions = re.findall(r"^    X\((\w+), (\w+), (hi_mpi_\w+), \((.*?)\)\)", text, flags=re.M)

    def structure(self, kind):
        """The structure that a C type names; None for another type."""
        name = re.sub(r"const|\*", "", kind).strip()
        return name if name in self.structures else None

    def kind(self, member):
        if member.pointer:
            return "ADDRESS"
        return "S32" if member.kind in self.enums else KINDS[member.kind]

    # ---- himpi_members.h ----

    def refusal(self, name):
        required = re.fullmatch(REQUIRED, name)
        if required:
            return f"the venc {required.group(1)} argument is not dict"
        return f"the {'type of ' if re.fullmatch(OF_CHANNELS, name) else ''}{name} argument is not dict"

    def chosen_by(self, name, member):
        """The value by which a member of a union is meant; None for others."""
        if name not in CHOICES or not member.in_union:
            return None
        _, prefix, end = CHOICES[name]
        return self.constants[prefix + member.name[: len(member.name) - len(end)].upper()]

    def rows(self, name):
        """The members that a structure's dict has, as initialisers."""
        found = []
        for member in self.structures[name]:
            key = TAILS.get(name, "") if member.name == "unknown_tail" else member.name
            if not key or key in ABSENT.get(name, "").split():
                continue
            part = self.structure(member.kind) if not member.pointer else None
            value = self.chosen_by(name, member)
            kind = "PART" if part else self.kind(member)
            one = f"{member.name}[0]" if member.length else member.name
            found.append(
                f'    {{"{key}", {f"&himpi_{part}" if part else "NULL"}, NULL, HIMPI_{kind}, '
                f"offsetof({name}, {member.name}), sizeof((({name} *)0)->{one}), {member.length or 0}, "
                f"{int(value is not None)}, {value or 0}, "
                f"{int(member.name not in IGNORED.get(name, '').split())}}},\n"
            )
        return found

    def needed(self):
        """Structures that dicts are made of, each behind its parts."""
        found = []

        def add(name):
            for member in self.structures[name]:
                part = self.structure(member.kind)
                if part and not member.pointer and member.name not in ABSENT.get(name, "").split():
                    add(part)
            if name not in found:
                found.append(name)

        for *_, parameters in self.functions:
            for parameter in parameters.split(","):
                if "*" in parameter and self.structure(parameter.rpartition("*")[0]):
                    add(self.structure(parameter.rpartition("*")[0]))
        add("hi_venc_pack")
        return found

    def members_header(self, note):
        lines = [note, MEMBERS_HEAD]
        for name in self.needed():
            rows = self.rows(name)
            choice = CHOICES.get(name, (None,))[0]
            lines.append(f"static himpi_member himpi_members_of_{name}[] = {{\n{''.join(rows)}}};\n")
            lines.append(
                f'static himpi_structure himpi_{name} = {{"{self.refusal(name)}", himpi_members_of_{name}, '
                f"{len(rows)}, sizeof({name}), {f'offsetof({name}, {choice})' if choice else 'HIMPI_NO_CHOICE'}, "
                f"{int(bool(re.fullmatch(REQUIRED, name)))}, {int(name in ALL_IN_RESULTS)}}};\n"
            )
        every = ", ".join(f"&himpi_{name}" for name in self.needed())
        lines.append(f"static himpi_structure *const himpi_structures[] = {{{every}}};\n")
        lines.append(f"enum {{ HIMPI_STRUCTURES = {len(self.needed())} }};\n")
        return "".join(lines)

    # ---- himpi_api.pxi ----

    def pxi(self, note):
        lines = [note, 'cdef extern from "avenc.h" nogil:\n']
        plain = {
            "hi_s32": "int32_t",
            "hi_u64": "uint64_t",
            "hi_u32": "uint32_t",
            "hi_u16": "uint16_t",
            "hi_u8": "uint8_t",
        }
        plain.update(dict.fromkeys(sorted({"hi_venc_chn", *self.enums}), "int32_t"))
        lines += [f"    ctypedef {kind} {name}\n" for name, kind in plain.items()]
        for name, members in self.structures.items():
            if name in self.aliases:
                lines.append(f"    ctypedef {self.aliases[name]} {name}\n")
                continue
            plain = [
                m for m in members if not m.length and not m.in_union and (m.kind in KINDS or m.kind in self.enums)
            ]
            body = [f"        {m.kind} {'*' if m.pointer else ''}{m.name}\n" for m in plain if m.kind != "hi_double"]
            if name == "hi_venc_stream":
                body.append("        hi_venc_pack *pack\n")
            lines.append(f"    ctypedef struct {name}:\n{''.join(body) or '        pass' + chr(10)}")
        lines.append("    enum:\n" + "".join(f"        {name}\n" for name in self.codes))
        lines.append("    ctypedef struct himpi_api:\n")
        for _, result, name, parameters in self.functions:
            lines.append(f"        {result} (*{name})({'' if parameters == 'void' else parameters}) noexcept nogil\n")
        return "".join(lines)

    def members_pxi(self, note):
        lines = [note, 'cdef extern from "himpi_members.h" nogil:\n', MEMBERS_PXI]
        return "".join([*lines, *(f"    himpi_structure himpi_{name}\n" for name in self.needed())])


MEMBERS_HEAD = """#include "himpi.h"

enum { HIMPI_S32, HIMPI_U32, HIMPI_U8, HIMPI_U16, HIMPI_U64, HIMPI_DOUBLE, HIMPI_ADDRESS, HIMPI_PART };
enum { HIMPI_NO_CHOICE = -1 };

typedef struct himpi_member {
    const char *name;
    struct himpi_structure *part;
    void *key; /* the name as Python's str */
    int kind;
    int offset;
    int size;      /* of a list: of one element */
    int count;     /* of a list's elements; 0: no list */
    int is_chosen; /* meant only where the structure's choice is `value` */
    int value;
    int is_read;
} himpi_member;

typedef struct himpi_structure {
    const char *refusal;
    himpi_member *members;
    int count;
    int size;
    int choice; /* offset of the member that chooses */
    int is_required;
    int gives_all;
} himpi_structure;

"""
MEMBERS_PXI = """    enum:
        HIMPI_S32
        HIMPI_U32
        HIMPI_U8
        HIMPI_U16
        HIMPI_U64
        HIMPI_DOUBLE
        HIMPI_ADDRESS
        HIMPI_PART
        HIMPI_NO_CHOICE
        HIMPI_STRUCTURES
    ctypedef struct himpi_member:
        const char *name
        himpi_structure *part
        void *key
        int kind
        int offset
        int size
        int count
        int is_chosen
        int value
        int is_read
    ctypedef struct himpi_structure:
        const char *refusal
        himpi_member *members
        int count
        int size
        int choice
        int is_required
        int gives_all
    himpi_structure **himpi_structures
"""


class Call:
    """A row of HIMPI_FUNCTIONS, in the shape of generate_pyacl.CFunction. Structures are dicts."""

    def __init__(self, header, presence, result, name, parameters):
        self.header, self.name, self.result, self.parameters = header, name, result, parameters
        self.optional = presence == "OPTIONAL"
        self.gives_code = not re.search("get_fd|qpmap", name)
        self.inputs, self.outputs, self.order = [], [], []
        for parameter in [] if parameters == "void" else parameters.split(","):
            kind, star, word = re.fullmatch(r"\s*(.+?)\s*(\**)(\w+)", parameter).groups()
            self.order.append(word)
            kind = f"{kind} {star}".strip()
            output = star and not kind.startswith("const ") and name not in NOT_WRITTEN and kind != "void *"
            (self.outputs if output else self.inputs).append((kind[:-1].strip() if output else kind, word))

    def is_dict(self, kind):
        return self.header.structure(kind) is not None

    def annotation(self, kind):
        return "dict[str, Any]" if self.is_dict(kind) else None

    def body(self, row):
        """Lines of a builtin: parse, read the dicts, call, and return results and code. `row` is functions.txt's.

        A result that the row has among its arguments is read too, for what it chooses by. An argument that C's function
        does not have says which alternative of a result is meant.
        """
        lines, reading, arguments, values = row.parsing(), [], {}, []
        for i, (kind, word) in enumerate(self.inputs):
            structure = self.header.structure(kind)
            if structure:
                lines.append(f"cdef {structure} in_{word}")
                reading.append(f"read_dict(<object>args[{i}], &himpi_{structure}, <char *>&in_{word})")
            arguments[word] = f"&in_{word}" if structure else row.arguments[i]
        choice = next((name for name in row.arguments[len(self.inputs) :] if name not in self.order), "HIMPI_NO_CHOICE")
        for kind, word in self.outputs:
            structure = self.header.structure(kind)
            lines.append(f"cdef {structure or kind} out_{word}")
            out = f"&himpi_{structure}, <char *>&out_{word}"
            values.append(f"write_dict({out}, {choice})" if structure else f"out_{word}")
            if word in row.arguments:
                reading.append(f"read_dict(<object>args[{row.arguments.index(word)}], {out})")
            else:
                reading.append(f"memset(&out_{word}, 0, sizeof(out_{word}))")
            arguments[word] = f"&out_{word}"
        if row.how == "timed":  # the last argument says how long
            lines.append("cdef timed_wait waiting")
            arguments[self.order[-1]] = "waiting.slice_ms"
        call = f"code = mpi.{self.name}({', '.join(arguments[word] for word in self.order)})"
        calls = {
            "keeps": [f"    {call}"],
            "waits": ["    with nogil:", f"        {call}"],
            "timed": [
                f"    begin_timed(&waiting, {''.join(row.arguments[-1:])})",
                "    if waiting.slice_ms == 0:  # returns at once",
                f"        {call}",
                "    else:",
                "        while True:",
                "            waiting.began = clock_ns()",
                "            with nogil:",
                f"                {call}",
                "            if not goes_on(&waiting, code):",
                "                break",
            ],
        }[row.how]
        lines += [f"cdef {self.result} code", *reading, "cdef const himpi_api *mpi = mpi_api()"]
        lines += [f"if mpi != NULL and mpi.{self.name} != NULL:", *calls]
        if not self.gives_code:
            result = f"<{CASTS[self.result]}>code"
            if self.result == "hi_u32":
                return [*lines, f"    return {result}", "return 0"]
            lines.append(f"    return {result} if code >= 0 else mpi_status(call, code)")
            return [*lines, "return lacking(call)"]
        result = "mpi_status(call, code)"
        if any(kind == "const hi_venc_chn_attr *" for kind, _ in self.inputs):
            result = "attributes_status(call, code, &in_attr)"
        return [
            *lines,
            f"    ret = {result}",
            "else:",
            "    ret = lacking(call)",
            f"return {', '.join([*values, 'ret'])}",
        ]


def calls(header):
    return {row[2]: Call(header, *row) for row in header.functions}
