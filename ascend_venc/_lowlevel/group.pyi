from typing import Any

from .channel import Channel

def submit_to_each(
    channels: list[Channel],
    frames: list[Any],
    pts: list[Any],
    key_frames: list[bool],
    tokens: list[Any],
    results: list[Any],
) -> None: ...
