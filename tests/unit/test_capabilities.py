# SPDX-License-Identifier: Apache-2.0
"""What a chip can do by either interface, and what comes nearest to a configuration that it does not take."""

import pytest

import ascend_venc as venc
from ascend_venc import chips
from ascend_venc.chip_limits import limits_of
from ascend_venc.device_capabilities import capabilities_of
from helpers import processes

MEMBERS = [(chip, name) for chip in chips.CHIPS for name in (chip.simulated or (chip.family,))]


@pytest.mark.parametrize("interface", ["v1", "v2"])
@pytest.mark.parametrize(("chip", "name"), MEMBERS, ids=[name for _, name in MEMBERS])
def test_each_chip_by_each_interface(chip, name, interface):
    found = capabilities_of(name, interface)
    assert (found.chip, found.interface) == (name, interface)
    has = chip.encoder and (interface == "v1" or bool(chip.channels_v2.value))
    assert found.encoder == has == (found.reason == "")
    if not has:
        assert name in found.reason and found.width is None and found.rate_controls == ()
        return
    assert (found.width, found.height, found.gop, found.fps) == tuple(
        figure.value for figure in (chip.width, chip.height, chip.gop, chip.fps)
    )
    assert found.bitrate == tuple(1000 * kbit for kbit in chip.bit_rate.value)
    assert found.channels == (chip.channels_v2 if interface == "v2" else chip.channels_v1).value
    assert found.live_settings == (("bitrate", "fps", "gop", "rc", "roi") if interface == "v2" else ())
    for mode in found.rate_controls:
        control = venc.RateControl(mode, qp=30 if mode == "fixqp" else None)
        assert venc.EncoderConfig.resolve(640, 360, rc=control).is_supported(name, interface)


WRONG = {
    "width": {"width": 65},
    "small": {"width": 2, "height": 2},
    "large": {"width": 16000, "height": 16000},
    "odd": {"width": 641, "height": 361},
    "area": {"width": 4096, "height": 4096, "codec": "h264"},
    "rate": {"bitrate": 1},
    "high rate": {"bitrate": "900M"},
    "gop": {"gop": 0},
    "long gop": {"gop": 100000},
    "depth": {"depth": 300},
    "mode": {"rc": "avbr"},
    "limits": {"rc": venc.RateControl("cbr", max_qp=30)},
}


@pytest.mark.parametrize("interface", ["v1", "v2"])
@pytest.mark.parametrize("soc", ["Ascend310", "Ascend310P3", "Ascend310B4", "Ascend777"])
@pytest.mark.parametrize("wrong", WRONG)
def test_nearest_is_taken_and_differs_only_in_what_was_wrong(wrong, soc, interface):
    config = venc.EncoderConfig.resolve(**{"width": 640, "height": 360, **WRONG[wrong]})
    answer = config.is_supported(soc, interface)
    asked = config if "bitrate" in WRONG[wrong] else config.with_bitrate_within(limits_of(soc))
    problems = asked.problems(limits_of(soc), interface)
    assert answer.reasons[-len(problems) :] == tuple(problems) if problems else True
    if soc == "Ascend310" and interface == "v2":
        assert not answer and 'choose interface="v1"' in answer.reasons[0]
    else:
        assert bool(answer) == (problems == []) == answer.supported
    assert answer.nearest.problems(limits_of(soc), interface) == []
    if not problems:
        assert answer.nearest == config
    else:
        assert answer.nearest != config and answer.nearest.fps == config.fps
        assert answer.nearest.is_supported(soc, "v1")


@pytest.mark.parametrize(
    ("soc", "interface", "picture"),
    [
        ("Ascend310", "v1", (1920, 1080, 240)),
        ("Ascend310P3", "v1", (4096, 4096, 1000)),
        ("Ascend310P3", "v2", (4096, 4096, 1000)),
    ],
)
def test_bit_rate_that_nobody_gave_is_no_reason(soc, interface, picture):
    """`Encoder` takes the nearest one that the chip has."""
    width, height, fps = picture
    config = venc.EncoderConfig.resolve(width, height, fps=fps)
    most = 1000 * limits_of(soc).bit_rate[1]
    assert config.bitrate > most
    answer = config.is_supported(soc, interface)
    assert answer and answer.reasons == () and answer.nearest.bitrate == most
    given = venc.EncoderConfig.resolve(width, height, fps=fps, bitrate=config.bitrate)
    assert not given.is_supported(soc, interface) and given == config


def test_chip_without_an_encoder_takes_nothing():
    answer = venc.EncoderConfig.resolve(640, 360).is_supported("Ascend910B1")
    assert (bool(answer), answer.nearest) == (False, None) and "no video encoder" in answer.reasons[0]
    with pytest.raises(venc.InvalidArgumentError, match="interface"):
        venc.EncoderConfig.resolve(640, 360).is_supported("Ascend310P3", "v3")


@pytest.mark.sim_only
@pytest.mark.parametrize("interface", ["v1", "v2"])
@pytest.mark.parametrize("soc", ["Ascend310", "Ascend310P3", "Ascend910"])
def test_device_is_asked_without_a_channel(soc, interface, request):
    program = """
import sys
sys.path.insert(0, sys.argv.pop())
import ascend_venc as venc
from ascend_venc.device_capabilities import capabilities_of
from helpers import simulator
soc, interface = sys.argv[1:]
simulator.shared().aclsim_count_calls(1)
found = venc.capabilities(backend="sim", interface=interface)
assert found == capabilities_of(soc, interface), found
calls = simulator.shared().aclsim_calls
assert all(calls(name) == 0 for name in (b"aclvencCreateChannel", b"hi_mpi_venc_create_chn", b"aclrtCreateContext"))
other = "v2" if interface == "v1" else "v1"
if capabilities_of(soc, other).encoder:  # nothing was decided for the process
    with venc.Encoder(128, 128, backend="sim", interface=other) as enc:
        assert enc.capabilities() == capabilities_of(soc, other)
for wrong, error in ((1, venc.InvalidArgumentError), ("0", TypeError)):
    try:
        venc.capabilities(wrong, backend="sim")
        raise AssertionError(wrong)
    except error:
        pass
print("ok")
"""
    done = processes.run(
        program,
        soc,
        interface,
        request.config.rootpath / "tests",
        env={"ASCEND_VENC_SIM_SOC": soc, "ASCEND_VENC_INTERFACE": ""},
    )
    assert done.stdout == "ok\n", done.stderr
