# SPDX-License-Identifier: Apache-2.0
"""Which files of a C library call which, read from the sources.

A unit is a .c file with the header of its name (`base/status`). An edge is a call of a function that another unit
defines, written in a function or in a macro that a unit uses. Calls through tables and function pointers are none:
that is how a lower unit calls what registered with it.
"""

import re

CALL = re.compile(r"(?<![\w.])(?<!->)([A-Za-z_]\w*)\s*\(")


def plain(text):
    """The text without comments, and with its strings and characters empty."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\''
    return re.sub(pattern, lambda found: found[0][0] * 2 if found[0][0] in "\"'" else " ", text, flags=re.S)


def split_macros(text):
    """Return (the text without its preprocessor lines, {macro: its body})."""
    macros = {}

    def take(line):
        found = re.match(r"[ \t]*#[ \t]*define[ \t]+(\w+)(\([^)]*\))?(.*)", line[0], flags=re.S)
        if found:
            macros[found[1]] = macros.get(found[1], "") + found[3] + "\n"
        return ""

    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", take, text, flags=re.M), macros


def name_before_parameters(head):
    """The name in the head of a function definition; before it may stand uses of macros, which have parentheses too."""
    depth, name = 0, None
    for match in re.finditer(r"([A-Za-z_]\w*)?\s*(\()|\)", head):
        if match[2] and depth == 0 and match[1]:
            name = match[1]
        depth += 1 if match[2] else -1
    return name


def functions(text):
    """Return [(name, is static, body)] of the functions that a text without preprocessor lines defines."""
    text = re.sub(r"__attribute__\s*\(\(.*?\)\)(?=\s|;|,|\)|$)", " ", text, flags=re.S)
    text = re.sub(r'extern\s*""\s*\{', "", text)
    found = []
    start = depth = 0
    head = ""
    for match in re.finditer(r"[{};]", text):
        if match[0] == "{":
            if depth == 0:
                head, start = text[start : match.start()], match.end()
            depth += 1
            continue
        if match[0] == "}":
            depth = max(0, depth - 1)
            if depth:
                continue
            name = name_before_parameters(head)
            if name and "=" not in head:
                found.append((name, bool(re.search(r"\bstatic\b", head)), head + text[start : match.start()]))
        if depth == 0:
            start = match.end()
    return found


class Unit:
    def __init__(self):
        self.bodies = []
        self.defined = set()  # every function
        self.public = set()  # those that others may call
        self.macros = {}


def read_units(root, paths):
    """Return {unit name: Unit} of these .c and .h files below `root`."""
    units = {}
    for path in paths:
        unit = units.setdefault(path.relative_to(root).with_suffix("").as_posix(), Unit())
        text, macros = split_macros(plain(path.read_text()))
        unit.macros.update(macros)
        for name, static, body in functions(text):
            unit.bodies.append(body)
            unit.defined.add(name)
            if not static or path.suffix == ".h":
                unit.public.add(name)
        # Macros are also used outside of functions, to make some.
        unit.bodies.append(
            re.sub(r"[^;{}]*;", lambda line: line[0] if re.match(r"\s*[A-Z]\w*\(", line[0]) else "", text)
        )
    return units


def expanded(body, macros):
    """The body, and those of the macros that it uses, and of those that these use."""
    seen, left, texts = set(), [body], []
    while left:
        text = left.pop()
        texts.append(text)
        for name in set(re.findall(r"\w+", text)) & macros.keys() - seen:
            seen.add(name)
            left.append(macros[name])
    return "\n".join(texts)


def calls(units):
    """Return {unit: {called unit: a function of it}}."""
    owner = {name: unit for unit, content in units.items() for name in content.public}
    shared = {name: body for unit in units.values() for name, body in unit.macros.items()}
    edges = {}
    for name, unit in units.items():
        edges[name] = {}
        text = expanded("\n".join(unit.bodies), {**shared, **unit.macros})
        for function in sorted(set(CALL.findall(text)) - unit.defined):
            if owner.get(function, name) != name:
                edges[name].setdefault(owner[function], function)
    return edges


def circles(edges):
    """Return the sets of units that call each other round and round, each as a sorted list."""
    reach = {}
    for unit in edges:
        seen, left = set(), list(edges[unit])
        while left:
            other = left.pop()
            if other not in seen:
                seen.add(other)
                left.extend(edges.get(other, ()))
        reach[unit] = seen
    found = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in reach if a in reach[a]}
    return [list(one) for one in sorted(found)]


def explain(edges, circle):
    """One line for each call inside a circle: who calls whom, and with what."""
    return [
        f"{unit} calls {function} of {other}"
        for unit in circle
        for other, function in edges[unit].items()
        if other in circle
    ]
