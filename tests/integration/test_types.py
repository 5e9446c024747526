# SPDX-License-Identifier: Apache-2.0
"""What type checkers, editors, `help` and `inspect` see of the package, and that it is what runs."""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import pydoc
import re
import runpy
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import ascend_venc as venc
from ascend_venc import chip_limits, color, config, encoder, literals, pixel_formats, rate_control
from ascend_venc._lowlevel import channel
from ascend_venc.media import formats, writer
from helpers import processes

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "typing" / "user_program.py"
ALLOWLIST = ROOT / "tests" / "stubtest_allowlist.txt"
LOWLEVEL = ROOT / "ascend_venc" / "_lowlevel"


def run(*command):
    done = subprocess.run(
        command, env=processes.environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=890
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ---- type checkers ---------------------------------------------------------------------------------------------------


@pytest.mark.timeout(900)  # seconds of the CPU, and many on a machine that has other work
def test_package_examples_and_a_users_program_are_strictly_typed():
    """What is checked, and that it is `strict`, says pyproject.toml."""
    pytest.importorskip("mypy", reason="mypy, which checks the types, is not installed")
    run(sys.executable, "-m", "mypy")


@pytest.mark.timeout(900)
def test_stubs_agree_with_what_runs():
    pytest.importorskip("mypy", reason="mypy, which checks the stubs, is not installed")
    run(
        *(sys.executable, "-m", "mypy.stubtest", "--ignore-unused-allowlist"),
        *("--allowlist", str(ALLOWLIST), "ascend_venc"),
    )


def test_each_line_of_the_allowlist_has_a_reason():
    blocks = ALLOWLIST.read_text().split("\n\n")[1:]
    lines = "\n".join(blocks).splitlines()
    assert lines[0].startswith("# ") and len(lines) > 2
    for before, line in zip(lines, lines[1:]):
        assert not (before.startswith("#") and line.startswith("#")), f"no line follows the reason {before!r}"
        re.compile(line)


@pytest.mark.timeout(900)
def test_pyright_accepts_the_examples_and_a_users_program():
    pyright = shutil.which("pyright")
    if pyright is None:
        pytest.skip("pyright is not on the PATH: npm install -g pyright, or bash scripts/types.sh")
    run(pyright, "--pythonpath", sys.executable)


def load_program():
    spec = importlib.util.spec_from_file_location("user_program", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_users_program_does_what_its_types_say(tmp_path, backend, capsys, monkeypatch):
    monkeypatch.setenv("ASCEND_VENC_BACKEND", backend)  # for pyACL's functions
    load_program().main(str(tmp_path / "film.mp4"), backend)
    first, second, third = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"0\.\d{3} s, key frames \[0\], \d{3,} bytes", first)
    assert re.fullmatch(r"\d+ \{'\w+': \d+, '\w+': \d+\} \['IDR'\] 1", second)
    assert third.startswith("['SPS', 'PPS', ")
    assert (tmp_path / "film.mp4").stat().st_size > 500


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("Codec", config.CODECS),
        ("CodecName", {*config.CODECS, *config.CODEC_ALIASES}),
        ("Profile", config.PROFILES),
        ("PixelFormat", pixel_formats.PIXEL_FORMATS),
        ("PixelFormatName", {*pixel_formats.PIXEL_FORMATS, *pixel_formats.ALIASES}),
        ("ColorMatrix", pixel_formats.MATRICES),
        ("ColorRange", pixel_formats.RANGES),
        ("ColorName", {*color.NAMED, *color._ALIASES}),
        ("RateControlMode", rate_control.MODES),
        ("Scene", config.SCENES),
        ("OnFull", channel.ON_FULL),
        ("Delivery", encoder.DELIVERY),
        ("Times", writer.TIMES),
        ("ContainerName", {*formats.FORMAT_ALIASES, *formats.FORMATS.values(), *formats.LIVE_FORMATS.values()}),
        (
            "FormatName",
            {
                *config.CODECS,
                *config.CODEC_ALIASES,
                *formats.FORMAT_ALIASES,
                *formats.FORMATS.values(),
                *formats.LIVE_FORMATS.values(),
            },
        ),
    ],
)
def test_names_that_types_allow_are_those_that_are_taken(name, names):
    assert set(typing.get_args(getattr(literals, name))) == set(names)


def test_interfaces_that_types_allow_are_those_that_are_taken():
    from ascend_venc.interface_choice import parse_interface

    assert [parse_interface(name) for name in typing.get_args(literals.InterfaceName)] == ["auto", "v1", "v2"]
    assert set(typing.get_args(literals.Interface)) | {"auto"} == set(typing.get_args(literals.InterfaceName))


def test_fields_of_public_classes_have_types_at_run_time():
    """Programs that read them (pydantic, cattrs) find each name."""
    classes = [getattr(venc, name) for name in venc.__all__ if inspect.isclass(getattr(venc, name))]
    found = [cls for cls in classes if dataclasses.is_dataclass(cls) or hasattr(cls, "_fields")]
    assert {venc.EncoderConfig, venc.RateControl, venc.ColorInfo, venc.Capabilities} <= set(found)
    for cls in (*found, chip_limits.ChipLimits):
        assert typing.get_type_hints(cls)


# ---- signatures ------------------------------------------------------------------------------------------------------


def of_stub(function):
    """What inspect.signature gives of a stub's function: (name, kind, whether it has a default) of each parameter."""
    given, kinds = function.args, inspect.Parameter
    plain = [(arg.arg, kinds.POSITIONAL_ONLY) for arg in given.posonlyargs]
    plain += [(arg.arg, kinds.POSITIONAL_OR_KEYWORD) for arg in given.args]
    first = len(plain) - len(given.defaults)
    found = [(name, kind, place >= first) for place, (name, kind) in enumerate(plain)]
    if given.vararg:
        found.append((given.vararg.arg, kinds.VAR_POSITIONAL, False))
    found += [
        (arg.arg, kinds.KEYWORD_ONLY, default is not None) for arg, default in zip(given.kwonlyargs, given.kw_defaults)
    ]
    return found


def of_runtime(function):
    parameters = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default is not each.empty) for each in parameters]


def stubs():
    for path in sorted(LOWLEVEL.rglob("*.pyi")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.parent.name == "pyacl" and path.stem != "functions":
            module = getattr(importlib.import_module("ascend_venc._lowlevel.pyacl.functions"), path.stem)
        else:
            module = importlib.import_module(name)
        yield pytest.param(path, module, id=path.stem)


@pytest.mark.parametrize(("stub", "module"), list(stubs()))
def test_signatures_of_compiled_names_are_those_of_their_stubs(stub, module):
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            assert of_runtime(getattr(module, node.name)) == of_stub(node), node.name
        if not isinstance(node, ast.ClassDef):
            continue
        cls, made = getattr(module, node.name), []
        for each in node.body:
            if not isinstance(each, ast.FunctionDef) or any("property" in ast.dump(d) for d in each.decorator_list):
                continue
            if each.name in ("__new__", "__init__"):
                made = of_stub(each)[1:]
            elif not each.name.startswith("__"):
                assert of_runtime(getattr(cls, each.name)) == of_stub(each), (node.name, each.name)
        assert of_runtime(cls) == made, node.name


def test_stubs_are_what_the_build_makes_of_the_modules():
    made = runpy.run_path(str(ROOT / "scripts" / "generate_stubs.py"))["stubs"]()
    assert made == {path.name: path.read_text() for path in LOWLEVEL.glob("*.pyi")}
    assert "def try_receive(self, limit: int)" in made["channel.pyi"]


def public_callables():
    for name in venc.__all__:
        thing = getattr(venc, name)
        if inspect.ismodule(thing):
            listed = getattr(thing, "__all__", [name for name in vars(thing) if not name.startswith("_")])
            for inner in listed:
                if callable(getattr(thing, inner)) and getattr(thing, inner).__module__ != "typing":
                    yield f"{name}.{inner}", getattr(thing, inner)
        elif callable(thing):
            yield name, thing


def test_every_public_name_has_a_signature_and_help_shows_it():
    count = 0
    for name, thing in public_callables():
        if inspect.isclass(thing) and issubclass(thing, (BaseException, bytes, str)):
            continue
        signature = inspect.signature(thing)
        if thing.__module__.startswith("ascend_venc"):
            text = pydoc.plain(pydoc.render_doc(thing))
            assert str(signature) == "()" or f"{thing.__name__}{signature}" in text, name
        count += 1
    assert count > 60


def test_docstrings_of_stubs_are_those_that_help_shows():
    """An editor finds no docstring in a compiled module: it takes the stub's."""
    found = set()
    for path in LOWLEVEL.glob("*.pyi"):
        module = importlib.import_module(f"ascend_venc._lowlevel.{path.stem}")
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ClassDef):
                continue
            owners = [(node, getattr(module, node.name))]
            owners += [
                (each, getattr(owners[0][1], each.name, None))
                for each in node.body
                if isinstance(each, ast.FunctionDef)
            ]
            for owner, thing in owners:
                text = ast.get_docstring(owner)
                if text is not None:
                    assert text == inspect.getdoc(thing), (node.name, owner.name)
                    found.add((node.name, owner.name))
    for cls in (venc.Packet, venc.Frame, venc.DeviceFrame):
        name = cls.__name__
        own = [key for key, value in vars(cls).items() if not key.startswith("_") and getattr(value, "__doc__", None)]
        assert {(name, name), *((name, key) for key in own)} <= found
