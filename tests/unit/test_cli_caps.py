# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc caps`, `--version` and `--debug`."""

import json
import platform

import av
import numpy
import pytest

from ascend_venc import __version__, cli
from ascend_venc.device_capabilities import capabilities_of
from ascend_venc.doctor import host

pytestmark = pytest.mark.sim_only


def facts_of(capsys, *args):
    assert cli.main(["caps", "--backend", "sim", *args]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("interface", ["v1", "v2"])
def test_caps_has_the_capabilities_of_the_interface(capsys, interface):
    told = json.loads(facts_of(capsys, "--json", "--interface", interface))
    expected = capabilities_of("Ascend310P3", interface)
    assert told["interface"] == interface
    assert told["capabilities"] == json.loads(json.dumps(expected.__dict__))
    text = facts_of(capsys, "--interface", interface)
    lines = {line[:19].strip(): line[19:].strip() for line in text.splitlines() if line}
    assert lines["width"] == "128 to 4,096 pixels, even (documented)"
    assert lines["channels"] == {"v1": "128 (documented)", "v2": "256 (documented)"}[interface]
    assert lines["intra refresh"] == {"v1": "no", "v2": "yes"}[interface]
    assert lines["regions"] == {"v1": "none", "v2": str(expected.regions)}[interface]
    assert lines["runtime library"] == told["runtime_library"]
    assert lines[f"DVPP {interface.upper()}"] == "has a video encoder"


def test_info_is_its_name_before(capsys):
    told = json.loads(facts_of(capsys, "--json"))
    assert cli.main(["info", "--backend", "sim", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told


def test_version_names_the_native_parts(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in host.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    cann = tmp_path / "Ascend" / "cann"
    (cann / "lib64").mkdir(parents=True)
    (cann / "lib64" / "libascendcl.so").write_bytes(b"never loaded")
    (cann / "ascend_toolkit_install.info").write_text("version=8.5.0\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"ascend-venc {__version__}"
    text = "\n".join(rest)
    avcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    for part in (
        platform.python_version(),
        f"NumPy {numpy.__version__}",
        f"PyAV {av.__version__}: libavcodec {avcodec}",
        f"CANN 8.5.0: {cann}",
    ):
        assert part in text


@pytest.mark.parametrize("args", [["--debug", "caps"], ["caps", "--debug"]])
def test_debug_shows_where_it_failed_and_the_line_stays_the_last(capsys, args):
    assert cli.main([*args, "--backend", "gpu"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any("caps.py" in line for line in lines)
    assert lines[-1].startswith("ascend-venc: backend is 'gpu'")
    assert cli.main(["caps", "--backend", "gpu"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
