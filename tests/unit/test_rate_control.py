# SPDX-License-Identifier: Apache-2.0
"""Rate control as a value: what is refused before a device sees it, and in which words."""

import copy
import dataclasses
import pickle

import pytest

import ascend_venc as venc
from ascend_venc.chip_limits import limits_of
from ascend_venc.config import EncoderConfig
from ascend_venc.rate_control import LIMITS, MODES, RateControl


def test_ranges_are_the_documented_ones():
    assert LIMITS == {
        "min_qp": (0, 51),
        "max_qp": (0, 51),
        "min_i_qp": (0, 51),
        "max_i_qp": (0, 51),
        "min_i_proportion": (1, 100),
        "max_i_proportion": (1, 100),
        "max_reencode": (0, 3),
    }


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_has_its_range(name):
    low, high = LIMITS[name]
    for value in (low, high):
        assert RateControl("cbr", **{name: value}).limits == {name: value}
    for value in (low - 1, high + 1, 1 << 80):
        with pytest.raises(venc.InvalidArgumentError, match=name):
            RateControl("cbr", **{name: value})
    for value in (1.5, "3", True):
        with pytest.raises(TypeError, match=name):
            RateControl("cbr", **{name: value})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "fixqp"}, "needs a quantiser"),
        ({"mode": "cbr", "qp": 30}, "min_qp and max_qp"),
        ({"mode": "fixqp", "qp": 52}, "0 to 51"),
        ({"mode": "fixqp", "qp": (1, 2, 3)}, "3 items"),
        ({"mode": "fixqp", "qp": 30, "max_qp": 40}, "has no limits"),
        ({"mode": "cbr", "min_qp": 30, "max_qp": 29}, "min_qp is 30, above max_qp, which is 29"),
        ({"mode": "cbr", "min_i_proportion": 5, "max_i_proportion": 4}, "above max_i_proportion"),
        ({"mode": "avb"}, 'did you mean "avbr"'),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, words):
    with pytest.raises(venc.InvalidArgumentError, match=words.replace("(", r"\(")):
        RateControl(**arguments)


def test_it_is_a_value():
    control = RateControl("CBR", max_qp=40)
    assert control == RateControl("cbr", max_qp=40) == copy.copy(control) == pickle.loads(pickle.dumps(control))
    assert len({control, RateControl("cbr", max_qp=40), RateControl("cbr")}) == 2
    assert RateControl("fixqp", qp=30) == RateControl("fixqp", qp=(30, 30))
    with pytest.raises(dataclasses.FrozenInstanceError):
        control.max_qp = 30


@pytest.mark.parametrize("mode", MODES)
def test_v1_has_three_modes_and_no_limits(mode):
    control = RateControl(mode, qp=30 if mode == "fixqp" else None)
    config = EncoderConfig.resolve(640, 360, rc=control)
    assert config.rc == mode
    assert config.problems(limits_of("Ascend310P3"), "v2") == []
    on_v1 = config.problems(limits_of("Ascend310P3"), "v1")
    on_310 = config.problems(limits_of("Ascend310"))
    if mode in ("default", "vbr", "cbr"):
        assert on_v1 == on_310 == []
        limited = EncoderConfig.resolve(640, 360, rc=RateControl(mode, max_qp=30))
        (text,) = limited.problems(limits_of("Ascend310P3"), "v1")
        assert "max_qp" in text and "leave them out" in text and 'interface="v2"' in text
    else:
        assert f'rc is "{mode}"' in on_v1[0] and 'rc="vbr"' in on_v1[0] and 'interface="v2"' in on_v1[0]
        assert 'rc="vbr"' in on_310[0] and "v2" not in on_310[0]


@pytest.mark.sim_only
@pytest.mark.v1_only("a process uses one interface")
def test_encoder_on_v1_refuses_what_v1_has_not():
    with pytest.raises(venc.InvalidArgumentError, match='interface="v2"'):
        venc.Encoder(128, 128, backend="sim", interface="v1", rc="avbr")
    with pytest.raises(TypeError, match="rc must be a str or a RateControl, got int"):
        venc.Encoder(128, 128, backend="sim", rc=3)
