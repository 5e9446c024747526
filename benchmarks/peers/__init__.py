# SPDX-License-Identifier: Apache-2.0
"""The ways of encoding that are compared. A peer is opened with a Workload and has:

run(frames) -> Work    encode frames on the first channel, as fast as it can
queue(frames)          hand frames to each channel of a device that stands still
total() -> Work        what came out of all channels since it was opened
close()
"""
