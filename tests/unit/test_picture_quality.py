# SPDX-License-Identifier: Apache-2.0
"""Scene, intra refresh and regions of interest as values: checked when they are made, refused where V1 has none."""

import pytest

import ascend_venc as venc
from ascend_venc.chip_limits import limits_of
from ascend_venc.device_capabilities import capabilities_of

REGION = venc.RegionOfInterest(16, 32, 64, 48, qp=20)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": 8}, "x is 8; a region's must be a multiple of 16, from 0 on"),
        ({"y": -16}, "y is -16"),
        ({"width": 0}, "width is 0; a region's must be a multiple of 16, from 16 on"),
        ({"height": 20}, "height is 20"),
        ({"qp": 52}, "qp is 52; allowed are 0 to 51"),
        ({"qp": -1}, "qp is -1; allowed are 0 to 51"),
        ({"qp": -52, "relative": True}, "qp is -52; allowed are -51 to 51"),
    ],
)
def test_region_is_checked(change, words):
    with pytest.raises(venc.InvalidArgumentError) as caught:
        venc.RegionOfInterest(**{"x": 0, "y": 0, "width": 16, "height": 16, "qp": 30, **change})
    assert words in str(caught.value)


@pytest.mark.parametrize("change", [{"x": 1.5}, {"qp": "30"}, {"relative": 1}, {"width": None}])
def test_region_of_other_types_is_refused(change):
    with pytest.raises(TypeError):
        venc.RegionOfInterest(**{"x": 0, "y": 0, "width": 16, "height": 16, "qp": 30, **change})


def test_region_reaches_as_far_as_whole_blocks():
    fits = [venc.RegionOfInterest(0, 1072, 1920, 16, qp=20), venc.RegionOfInterest(0, 0, 1920, 1088, qp=20)]
    assert venc.EncoderConfig.resolve(1920, 1080, roi=iter(fits)).roi == tuple(fits)
    with pytest.raises(venc.InvalidArgumentError, match=r"roi\[1\] ends at 1104; the picture's height is 1080"):
        venc.EncoderConfig.resolve(1920, 1080, roi=[fits[0], venc.RegionOfInterest(0, 1088, 16, 16, qp=1)])
    with pytest.raises(venc.InvalidArgumentError, match=r"roi\[0\] ends at 1936; the picture's width is 1920"):
        venc.EncoderConfig.resolve(1920, 1080, roi=[venc.RegionOfInterest(1920, 0, 16, 16, qp=1)])
    with pytest.raises(venc.InvalidArgumentError, match="roi has 9 regions; allowed are up to 8"):
        venc.EncoderConfig.resolve(1920, 1080, roi=[REGION] * 9)
    with pytest.raises(TypeError, match=r"roi\[0\] must be a RegionOfInterest, got tuple"):
        venc.EncoderConfig.resolve(1920, 1080, roi=[(0, 0, 16, 16, 20)])


def test_intra_refresh_and_scene_are_checked():
    assert venc.IntraRefresh(rows=4) == venc.IntraRefresh(4, None, 30)
    for options in ({}, {"rows": 1, "columns": 1}, {"rows": 0}, {"columns": 70000}, {"rows": 1, "i_qp": 52}):
        with pytest.raises(venc.InvalidArgumentError):
            venc.IntraRefresh(**options)
    with pytest.raises(TypeError, match="intra_refresh must be an IntraRefresh, got int"):
        venc.EncoderConfig.resolve(640, 360, intra_refresh=4)
    with pytest.raises(venc.InvalidArgumentError, match='scene is \'fast\'; allowed are "still", "motion", "regular"'):
        venc.EncoderConfig.resolve(640, 360, scene="fast")
    assert venc.EncoderConfig.resolve(640, 360, scene="MOTION").scene == "motion"


@pytest.mark.parametrize(
    "options", [{"roi": [REGION]}, {"scene": "still"}, {"intra_refresh": venc.IntraRefresh(rows=2)}]
)
@pytest.mark.parametrize("soc", ["Ascend310", "Ascend310P3", "Ascend310B4"])
def test_v1_takes_none_of_them_and_v2_all(soc, options):
    config = venc.EncoderConfig.resolve(640, 360, **options)
    answer = config.is_supported(soc, "v1")
    assert not answer and len(answer.reasons) == 1 and next(iter(options)) in answer.reasons[0]
    assert ('interface="v2"' in answer.reasons[0]) == limits_of(soc).v2
    assert answer.nearest == venc.EncoderConfig.resolve(640, 360) and answer.nearest.is_supported(soc, "v1")
    if limits_of(soc).v2:
        assert config.is_supported(soc, "v2") and config.is_supported(soc).nearest == config


def test_nearest_of_another_size_has_the_regions_that_lie_in_it():
    far = venc.RegionOfInterest(4096, 0, 16, 16, qp=20)
    nearest = venc.EncoderConfig.resolve(8000, 2000, roi=[REGION, far]).is_supported("Ascend310P3", "v2").nearest
    assert nearest.width == 4096 and nearest.roi == (REGION,)


def test_capabilities_tell_them():
    on_v2, on_v1 = capabilities_of("Ascend310P3", "v2"), capabilities_of("Ascend310P3", "v1")
    assert (on_v2.scenes, on_v2.intra_refresh, on_v2.regions) == (("still", "motion", "regular"), True, 8)
    assert (on_v1.scenes, on_v1.intra_refresh, on_v1.regions) == ((), False, 0)
    assert "roi" in on_v2.live_settings


def test_one_region_that_is_in_no_list_is_told_so():
    with pytest.raises(
        TypeError, match="roi must be a list of RegionOfInterest, got RegionOfInterest: put it in a list"
    ):
        venc.EncoderConfig.resolve(640, 360, roi=REGION)
