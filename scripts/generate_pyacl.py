# SPDX-License-Identifier: Apache-2.0
"""What the build makes of ascend_venc/_lowlevel/pyacl/functions.txt, of ACL_FUNCTIONS in csrc/include/ascendcl.h and of
csrc/include/himpi.h (generate_himpi.py).

    acl_api.pxi     the engine's table of AscendCL functions, for cavenc.pxd; himpi_api.pxi: of DVPP V2's
    functions.pxi   the builtins of acl, acl.rt, acl.media, acl.util and acl.himpi, for functions.pyx
    *.pyi           their stubs

setup.py calls `sources` and `stubs`. Python 3.9 and nothing but the standard library.
"""

import ast
import re
import runpy
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = ROOT / "csrc" / "include" / "ascendcl.h"
FUNCTIONS = ROOT / "ascend_venc" / "_lowlevel" / "pyacl" / "functions.txt"
PACKAGE = "ascend_venc._lowlevel.pyacl"
PARTS = ("himpi", "media", "rt", "util")
NOTE = "# Made by scripts/generate_pyacl.py at build: change functions.txt or ascendcl.h instead.\n"
HIMPI = runpy.run_path(str(Path(__file__).with_name("generate_himpi.py")))
HIMPI_HEADER = HIMPI["Header"]()
HIMPI_NOTE = "Made by scripts/generate_himpi.py at build: change himpi.h instead."

# Tables of live handles (handles.pyx), by the C type of the handle.
TABLES = {
    "aclrtContext": "contexts",
    "aclrtStream": "streams",
    "aclrtEvent": "events",
    "acldvppPicDesc *": "pic_descs",
    "acldvppStreamDesc *": "stream_descs",
    "aclvencChannelDesc *": "channel_descs",
    "aclvencFrameConfig *": "frame_configs",
}
# What fastcall.pyx parses, and the types that stubs name. Enums are 32-bit ints; sizes and addresses 64-bit.
PARSED = {"int32": "int32_t", "uint32": "uint32_t", "uint64": "uint64_t", "uint8": "uint8_t"}
SCALARS = {"int32_t": "int32", "uint32_t": "uint32", "uint64_t": "uint64", "size_t": "uint64", "uint8_t": "uint8"}
SCALARS.update({"hi_s32": "int32", "hi_u32": "uint32", "hi_u64": "uint64", "hi_bool": "int32", "hi_venc_chn": "int32"})
PRIMITIVES = {*SCALARS, "float", "void *"}


def snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


class CFunction:
    """A row of ACL_FUNCTIONS: `inputs` and `outputs` are lists of (C type, name)."""

    def __init__(self, presence, result, name, parameters, enums):
        self.name, self.result, self.parameters = name, result.strip(), parameters
        self.optional = presence == "OPTIONAL"
        self.inputs, self.outputs = [], []
        for parameter in [] if parameters == "void" else parameters.split(","):
            kind, star, word = re.fullmatch(r"\s*(.+?)\s*(\**)(\w+)", parameter).groups()
            kind = f"{kind} {star}".strip()
            pointee = kind[:-1].strip()
            if kind.endswith("*") and (pointee in PRIMITIVES or pointee in enums or pointee in TABLES):
                self.outputs.append((pointee, word))
            else:
                self.inputs.append((kind, word))


def c_functions():
    """Read the header: ({name: CFunction} in its order, the names of its enum types)."""
    text = HEADER.read_text()
    enums = set(re.findall(r"^typedef int32_t (\w+);", text, flags=re.M))
    rows = re.findall(r"^    X\(\w+, (\w+), ([\w *]+?), (\w+), \((.*?)\)\)", text, flags=re.M)
    return {name: CFunction(presence, ret, name, words, enums) for presence, ret, name, words in rows}, enums


class Function:
    """A row of functions.txt, with the C function that it calls (None: it calls none of the list)."""

    def __init__(self, namespace, head, doc, functions, enums, mark=""):
        signature, c_name, self.how = head.rsplit(" | ", 2)
        tree = ast.parse(f"def {signature}: ...").body[0]
        self.namespace, self.name, self.text = namespace, tree.name, doc
        self.c = None if c_name == "-" else functions[c_name]
        self.enums = enums
        self.full = f"{namespace}.{self.name}"
        self.quoted = f'b"{self.full}"'
        self.symbol = f"{namespace.rpartition('.')[2]}_{self.name}"
        self.refusal = f"{self.full} args parse failed{mark}"
        self.arguments = [argument.arg for argument in tree.args.args]
        self.annotations = [argument.annotation and ast.unparse(argument.annotation) for argument in tree.args.args]
        self.defaults = [ast.unparse(default) for default in tree.args.defaults]
        self.returns = ast.unparse(tree.returns) if tree.returns else None
        inputs = self.c.inputs if self.c else []
        if self.how != "written" and len(inputs) != len(self.arguments):
            raise ValueError(f"{self.full} has {len(self.arguments)} arguments, {c_name} takes {len(inputs)}")
        self.types = [kind for kind, _ in inputs] + [""] * (len(self.arguments) - len(inputs))
        self.is_himpi = self.c is not None and self.c.name.startswith("hi_")
        if self.is_himpi:
            notes = [self.annotations[i] or self.c.annotation(kind) for i, kind in enumerate(self.types) if kind]
            self.annotations[: len(notes)] = notes

    def table(self, kind, word=""):
        """The table of live handles that a value of a C type belongs to, or None."""
        if self.c and re.search("Malloc|Free", self.c.name) and kind == "void *":
            return "host_memory" if word == "hostPtr" else "device_memory"
        return TABLES.get(kind.replace("const ", ""))

    def parsed(self, kind):
        """What an argument of a C type is parsed as."""
        return "int32" if kind in self.enums else SCALARS.get(kind, "uint64")

    # ---- documentation ----

    @property
    def result_names(self):
        return [snake(word) for _, word in self.c.outputs] + ["ret"]

    @property
    def doc(self):
        words = [self.text]
        if self.c and self.c.result in ("aclError", "hi_s32") and not re.search(r"Returns? ", self.text):
            names = self.result_names
            words.append(f"Returns ({', '.join(names)})." if len(names) > 1 else "Returns ret.")
        if self.c:
            words.append(f"Wraps {self.c.name}" + (" (not in every version)." if self.c.optional else "."))
        return " ".join(words)

    def signature(self, stub):
        if not self.arguments:
            return "(*args: object)" if stub else "(*args)"
        words = []
        for i, name in enumerate(self.arguments):
            kind = self.annotations[i] or ("int" if self.parsed(self.types[i]) == "uint64" else "SupportsIndex")
            default = self.defaults[i - len(self.arguments)] if len(self.arguments) - i <= len(self.defaults) else None
            words.append(f"{name}: {kind}" if stub else name)
            if default is not None:
                words[-1] += f" = {default}" if stub else f"={default}"
        return f"({', '.join(words)}, /)"

    def output(self, kind):
        """The annotation of a result of a C type."""
        if self.is_himpi and self.c.is_dict(kind):
            return "dict[str, Any]"
        return "float" if kind == "float" else "int"

    @property
    def stub(self):
        result = self.returns
        if result is None:
            outputs = [self.output(kind) for kind, _ in self.c.outputs]
            result = f"tuple[{', '.join([*outputs, 'int'])}]" if outputs else "int"
        lines = textwrap.wrap(f'"""{self.doc}', 112, break_long_words=False, break_on_hyphens=False)
        end = '"""' if len(lines) == 1 else '\n"""'
        text = textwrap.indent("\n".join(lines) + end, "    ")
        return f"def {self.name}{self.signature(True)} -> {result}:\n{text}\n"

    # ---- body ----

    @property
    def export(self):
        doc = f"{self.name}{self.signature(False)}\n--\n\n{self.doc}"
        return f'export("{self.namespace}", b"{self.name}", {self.symbol}, {doc.encode()!r})\n\n'

    def call(self, arguments):
        """Lines that call the C function and keep what it returns in `code`."""
        line = f"code = acl.{self.c.name}({', '.join(arguments)})"
        return [line] if self.how == "keeps" else ["with nogil:", f"    {line}"]

    @property
    def body(self):
        head = f"cdef object {self.symbol}(PyObject *self, PyObject **args, Py_ssize_t given):"
        if self.is_himpi:
            lines = self.c.body(self)
        else:
            lines = self.creator() or self.destroyer() or self.getter() or self.caller()
        return "\n    ".join([head, *lines]) + "\n"

    def creator(self):
        if not (self.c.result in TABLES and not self.arguments):
            return None
        call = f"{self.quoted}, &{TABLES[self.c.result]}, <creator>api().{self.c.name}"
        return [f"return create_handle({call}, args, given)"]

    def destroyer(self):
        if not re.search("Destroy|Free", self.c.name):
            return None
        table = self.table(*self.c.inputs[0])
        call = f'{self.quoted}, b"{self.refusal}", &{table}, <destructor>acl.{self.c.name}, {self.how == "waits"}'
        return ["cdef const acl_api *acl = api()", *self.guard(), f"return destroy_handle({call}, args, given)"]

    def getter(self):
        if self.c.result == "aclError":
            return None
        kind = self.c.inputs[0][0]
        cast = "<uint64_t>" if self.c.result.endswith("*") else ""
        value = f"{cast}acl.{self.c.name}(<{kind}>handle)"
        return [
            f'cdef uint64_t handle = live_or_null(b"{self.refusal}", &{self.table(kind)}, args, given)',
            "cdef const acl_api *acl = api()",
            f"return {value} if acl.{self.c.name} != NULL else 0" if self.c.optional else f"return {value}",
        ]

    def guard(self):
        """Lines that answer for a function that the loaded library lacks."""
        if not self.c.optional:
            return []
        return [f"if acl.{self.c.name} == NULL:", f"    return {self.result(self.failure('unsupported'))}"]

    def failure(self, function, *arguments):
        return f"{function}({', '.join([self.quoted, *arguments])}, args, given)"

    def result(self, code, values=None):
        """The expression of what is returned: the outputs (0 where the call was not made), then the code."""
        values = values or ["0.0" if kind == "float" else "0" for kind, _ in self.c.outputs]
        return f"({', '.join([*values, code])})" if self.c.outputs else code

    def caller(self):
        """Parse, look the handles up, call, and return outputs and code."""
        lines, parsing, arguments, checks, pinned, after = [], [], {}, [], [], []
        for i, (kind, word) in enumerate(self.c.inputs):
            name, parsed = self.arguments[i], self.parsed(kind)
            lines.append(f"cdef {PARSED[parsed]} {name} = 0")
            parsing.append(f" or not as_{parsed}(args[{i}], &{name})")
            arguments[word] = f"<{kind}>{name}" if "*" in kind or kind in TABLES else name
            table = self.table(kind, word)
            if table is None:
                continue
            live = f"is_live(&{table}, {name})" if self.how == "keeps" else f"pin(&{table}, {name})"
            checks += [f"if {name} != 0 and not {live}:", *(f"    {line}" for line in pinned)]
            checks.append(f"    return {self.result(self.failure('stale', f'&{table}', name))}")
            if self.how == "waits":
                pinned.append(f"unpin(&{table}, {name})")
        values = []
        made = next((self.table(kind, word) for kind, word in self.c.outputs if self.table(kind, word)), None)
        for kind, word in self.c.outputs:
            lines.append(f"cdef {kind} out_{word} = {'NULL' if self.table(kind, word) else '0'}")
            values.append(f"<uint64_t>out_{word}" if self.table(kind, word) else f"out_{word}")
            arguments[word] = f"&out_{word}"
        if made:
            own = {"contexts": "True", "streams": "in_own_context(acl)", "events": "in_own_context(acl)"}.get(made)
            place = f"current_device(acl), {own}" if own else "0"
            checks.append(f"reserve(&{made})")
            if self.namespace == "acl.media":
                checks.append("avenc_interface_expect(AVENC_DVPP_V1)")
            after = ["if code == ACL_SUCCESS:", f"    insert(&{made}, {values[0][10:]}, {place})"]
        lines.append("cdef aclError code")
        if parsing:
            lines += [f"if given != {len(parsing)}{''.join(parsing)}:", f'    refuse(b"{self.refusal}")']
        status = "explained" if self.namespace == "acl.media" and "Set" in self.c.name else "status"
        ordered = [word.split("*")[-1].split()[-1] for word in self.c.parameters.split(",")] if arguments else []
        return [
            *lines,
            "cdef const acl_api *acl = api()",
            *self.guard(),
            *checks,
            *self.call([arguments[word] for word in ordered]),
            *pinned,
            *after,
            f"return {self.result(self.failure(status, 'code'), values)}",
        ]


def every_function():
    """The same of both headers."""
    found, enums = c_functions()
    return {**found, **HIMPI["calls"](HIMPI_HEADER)}, enums | HIMPI_HEADER.enums


def functions():
    """Read functions.txt: a list of Function."""
    found, namespace, head, doc, mark = [], None, None, [], ""
    c, enums = every_function()
    for line in [*FUNCTIONS.read_text().splitlines(), "[]"]:
        if line.startswith("    "):
            doc.append(line.strip())
            continue
        if head:
            found.append(Function(namespace, head, " ".join(doc), c, enums, mark))
        head, doc = None, []
        if line.startswith("["):
            namespace, _, mark = line.strip("[]").partition(" ")
        elif line and not line.startswith("#"):
            head = line
    return found


def sources():
    """The text of each file that Cython includes, by name."""
    rows = []
    for function in c_functions()[0].values():
        parameters = "" if function.parameters == "void" else function.parameters
        space = "" if function.result.endswith("*") else " "
        rows.append(f"        {function.result}{space}(*{function.name})({parameters}) noexcept nogil\n")
    api = f'{NOTE}cdef extern from "avenc.h" nogil:\n    ctypedef struct acl_api:\n{"".join(rows)}'
    text = "".join(("" if row.how == "written" else row.body) + row.export for row in functions())
    return {
        "acl_api.pxi": api,
        "functions.pxi": NOTE + text,
        "himpi_api.pxi": HIMPI_HEADER.pxi(f"# {HIMPI_NOTE}\n"),
        "himpi_members.pxi": HIMPI_HEADER.members_pxi(f"# {HIMPI_NOTE}\n"),
        "himpi_members.h": HIMPI_HEADER.members_header(f"/* {HIMPI_NOTE} */\n"),
    }


def stubs():
    """The text of each stub, by name."""
    found = {}
    rows = functions()
    for namespace in dict.fromkeys(row.namespace for row in rows):
        module = "functions" if namespace == "acl" else namespace.rpartition(".")[2]
        text = "".join("\n" + row.stub for row in rows if row.namespace == namespace)
        imports = {
            "from collections.abc import Callable\n": "Callable[" in text,
            "from typing import "
            + ", ".join(sorted(set(re.findall(r"\b(Any|Optional|SupportsIndex)\b", text))))
            + "\n": True,
            "\nimport numpy\n": "numpy." in text,
            # Not `from . import`: the package's __init__.py has these names from here.
            "\n" + "".join(f"import {PACKAGE}.{name} as _{name}\n" for name in PARTS): namespace == "acl",
            "\n" + "".join(f"{name} = _{name}\n" for name in PARTS): namespace == "acl",
        }
        used = "".join(line for line, wanted in imports.items() if wanted)
        found[f"{module}.pyi"] = f"{NOTE}{used}{text}"
    return found


def write(folder, texts):
    """Write what has changed, so that what has not is not built again."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    for name, text in {**sources(), **stubs()}.items():
        print(f"==== {name}\n{text}")
