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
# What fastcall.pyx parses, by annotation and by C type. Enums are 32-bit ints; sizes and addresses 64-bit.
ANNOTATED = {"int": "uint64", "SupportsIndex": "int32"}
SCALARS = {"int32_t": "int32", "uint32_t": "uint32", "uint64_t": "uint64", "size_t": "uint64", "uint8_t": "uint32"}
SCALARS.update({"hi_s32": "int32", "hi_u32": "uint32", "hi_u64": "uint64", "hi_bool": "int32", "hi_venc_chn": "int32"})
PRIMITIVES = {*SCALARS, "float", "void *"}


def snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


class CFunction:
    """A row of ACL_FUNCTIONS: `inputs` and `outputs` are lists of (C type, name)."""

    def __init__(self, presence, result, name, parameters, enums):
        self.name, self.result, self.parameters = name, result.strip(), parameters
        self.optional = presence == "OPTIONAL"
        self.inputs, self.outputs, self.order = [], [], []
        for parameter in [] if parameters == "void" else parameters.split(","):
            kind, star, word = re.fullmatch(r"\s*(.+?)\s*(\**)(\w+)", parameter).groups()
            self.order.append(word)
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
        signature, c_name, how = head.rsplit(" | ", 2)
        self.how, _, self.more = how.partition(" ")
        tree = ast.parse(f"def {signature}: ...").body[0]
        self.namespace, self.name, self.text = namespace, tree.name, doc
        self.c = None if c_name == "-" else functions[c_name]
        self.enums = enums
        self.full = f"{namespace}.{self.name}"
        self.symbol = f"{namespace.rpartition('.')[2]}_{self.name}"  # what is written by hand
        self.builtin = self.symbol if self.more == "whole" else f"builtin_{self.symbol}"
        self.refusal = f"{self.full} args parse failed{mark}"
        self.arguments = [argument.arg for argument in tree.args.args]
        self.annotations = [argument.annotation and ast.unparse(argument.annotation) for argument in tree.args.args]
        self.defaults = [ast.unparse(default) for default in tree.args.defaults]
        self.returns = ast.unparse(tree.returns) if tree.returns else None
        inputs = self.c.inputs if self.c else []
        if self.how != "written" and (len(inputs) > len(self.arguments) or None in self.annotations[len(inputs) :]):
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

    def parsed(self, i):
        """What an argument is parsed as; None for one that is taken as it is."""
        if self.annotations[i]:
            return ANNOTATED.get(self.annotations[i])
        return "int32" if self.types[i] in self.enums else SCALARS.get(self.types[i], "uint64")

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
            kind = self.annotations[i] or ("int" if self.parsed(i) == "uint64" else "SupportsIndex")
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
        return f'export("{self.namespace}", b"{self.name}", {self.builtin}, {doc.encode()!r})\n\n'

    def parsing(self):
        """Lines that parse the arguments into variables of their names, and refuse others."""
        lines, refused = [], ""
        for i, name in enumerate(self.arguments):
            if self.parsed(i):
                lines.append(f"cdef {self.parsed(i)}_t {name} = 0")
                refused += f" or not as_{self.parsed(i)}(args[{i}], &{name})"
        if self.arguments:
            lines += [f"if given != {len(self.arguments)}{refused}:", f'    refuse(b"{self.refusal}")']
        for i, note in enumerate(self.annotations):
            if note and note.startswith("Callable"):
                lines += [f"if not callable(<object>args[{i}]):"]
                lines += ['    raise TypeError("parameter must be callable")']
        return lines

    def call(self, arguments):
        """Lines that call the C function and keep what it returns in `code`."""
        line = f"code = acl.{self.c.name}({', '.join(arguments)})"
        if self.how == "copies":
            few = "count" if "count" in self.arguments else "height == 0 or width"
            most = "AVENC_SHORT_COPY_BYTES" if "count" in self.arguments else "AVENC_SHORT_COPY_BYTES // height"
            return [f"if {few} <= {most}:", f"    {line}", "else:", "    with nogil:", f"        {line}"]
        return [line] if self.how == "keeps" else ["with nogil:", f"    {line}"]

    @property
    def body(self):
        if self.more == "whole":
            return ""
        head = f"cdef object {self.builtin}(PyObject *self, PyObject **args, Py_ssize_t given):"
        call = f'cdef facade_call call = facade_call(b"{self.full}", args, given)'
        if self.how == "written":
            lines = self.written()
        elif self.is_himpi:
            lines = self.c.body(self)
        else:
            lines = self.creator() or self.destroyer() or self.getter() or self.caller()
        return "\n    ".join([head, call, *lines]) + "\n"

    def written(self):
        """Parse, and hand over to what is written by hand: with the table of functions, and what was parsed.

        Without DVPP V2 there is no call; what takes a dict looks at that first, and at the table itself.
        """
        given, lines = ["call"], self.parsing()
        if self.more == "warned":
            other = "bytes_to_ptr" if self.name.endswith("_to_ptr") else "ptr_to_bytes"
            lines.insert(0, f'warn(b"{self.full} will be deprecated. Please use acl.util.{other} instead.")')
        if self.is_himpi:
            lines.append("cdef const himpi_api *mpi = mpi_api()")
            if "dict[str, Any]" not in self.annotations:
                lines += ["if mpi == NULL:", f"    return {self.result('lacking(call)')}"]
        if self.c:
            given.append("mpi" if self.is_himpi else "api()")
        given += [name for i, name in enumerate(self.arguments) if self.parsed(i)]
        return [*lines, f"return {self.symbol}({', '.join(given)})"]

    def creator(self):
        if not (self.c.result in TABLES and not self.arguments):
            return None
        return [f"return create_handle(call, &{TABLES[self.c.result]}, <creator>api().{self.c.name})"]

    def destroyer(self):
        if not re.search("Destroy|Free", self.c.name):
            return None
        table, waits = self.table(*self.c.inputs[0]), self.how == "waits"
        made = f"destroy_handle(call, &{table}, <destructor>acl.{self.c.name}, {waits}, {self.arguments[0]})"
        return ["cdef const acl_api *acl = api()", *self.guard(), *self.parsing(), f"return {made}"]

    def getter(self):
        if self.c.result == "aclError":
            return None
        kind, name = self.c.inputs[0][0], self.arguments[0]
        cast = "<uint64_t>" if self.c.result.endswith("*") else ""
        value = f"{cast}acl.{self.c.name}(<{kind}>{name})"
        return [
            *self.parsing(),
            "cdef const acl_api *acl = api()",
            f"if not is_live(&{self.table(kind)}, {name}):",
            f"    {name} = 0  # for which AscendCL has an answer of its own",
            f"return {value} if acl.{self.c.name} != NULL else 0" if self.c.optional else f"return {value}",
        ]

    def guard(self):
        """Lines that answer for a function that the loaded library lacks."""
        if not self.c.optional:
            return []
        return [f"if acl.{self.c.name} == NULL:", f"    return {self.result('unsupported(call)')}"]

    def result(self, code, values=None):
        """The expression of what is returned: the outputs (0 where the call was not made), then the code."""
        values = values or ["0.0" if kind == "float" else "0" for kind, _ in self.c.outputs]
        return f"({', '.join([*values, code])})" if self.c.outputs else code

    def caller(self):
        """Parse, look the handles up, call, and return outputs and code."""
        lines, arguments, checks, pinned, after = self.parsing(), {}, [], [], []
        for name, (kind, word) in zip(self.arguments, self.c.inputs):
            arguments[word] = f"<{kind}>{name}" if "*" in kind or kind in TABLES else name
            table = self.table(kind, word)
            if table is None:
                continue
            live = f"is_live(&{table}, {name})" if self.how == "keeps" else f"pin(&{table}, {name})"
            checks += [f"if {name} != 0 and not {live}:", *(f"    {line}" for line in pinned)]
            checks.append(f"    return {self.result(f'stale(call, &{table}, {name})')}")
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
        status = "status(call, code)"
        if self.namespace == "acl.media" and "Set" in self.c.name:
            status = "0 if code == ACL_SUCCESS else explained(call, code)"
        return [
            *lines,
            "cdef aclError code",
            "cdef const acl_api *acl = api()",
            *self.guard(),
            *checks,
            *self.call([arguments[word] for word in self.c.order]),
            *pinned,
            *after,
            f"return {self.result(status, values)}",
        ]


def every_function():
    """The same of both headers."""
    found, enums = c_functions()
    return {**found, **HIMPI["calls"](HIMPI_HEADER)}, enums | HIMPI_HEADER.enums


def getter_of(namespace, head, doc):
    """The row of a getter, of the setter's row that stands for both; and the setter's own text."""
    text, _, own = doc.partition(" get: ")
    verb = "Tell" if namespace == "acl.himpi" else "Return"
    own = own or re.sub(r"\|.*|\.$", ".", text).replace("Set", verb, 1)
    return re.sub(r", \w+\)", ")", head).replace("_set_", "_get_").replace("Set", "Get"), own, text.replace("|", "")


def functions():
    """Read functions.txt: a list of Function."""
    found, namespace, head, doc, mark = [], None, None, [], ""
    c, enums = every_function()
    for line in [*FUNCTIONS.read_text().splitlines(), "[]"]:
        if line.startswith("    "):
            doc.append(line.strip())
            continue
        if head:
            head, pair, text = *head.partition(" +get")[:2], " ".join(doc)
            if pair:
                getter, own, text = getter_of(namespace, head, text)
            found.append(Function(namespace, head, text, c, enums, mark))
            if pair:
                found.append(Function(namespace, getter, own, c, enums, mark))
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
    text = "".join(row.body + row.export for row in functions())
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
            f"\nfrom . import {', '.join(f'{name} as {name}' for name in PARTS)}\n": namespace == "acl",
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
