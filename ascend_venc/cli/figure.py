# SPDX-License-Identifier: Apache-2.0
"""Pictures of an encoded film, by matplotlib: as SVG, PNG or an HTML page that needs nothing else."""

from __future__ import annotations

import html
import io
import textwrap
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import VencError
from .progress import bits, clock, size
from .recording import quantile
from .screen import NARROWEST

if TYPE_CHECKING:
    from .recording import Recording

KINDS = ("svg", "png", "html")
# Okabe and Ito's colours, which people who see fewer colours tell apart, too.
BLUE, ORANGE, GREEN, PURPLE, BLACK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222", "#999999"
_MANY = 3000  # pictures, from which on they are drawn as pixels in an SVG, too
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # which matplotlib brings
    "font.size": 11,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "ascend-venc",  # the same picture is the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
}
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font-family: "DejaVu Sans", Verdana, sans-serif; color: #222222 }}
body {{ margin: 2em auto; max-width: 75em; padding: 0 1em }}
svg {{ width: 100%; height: auto }}
table {{ border-collapse: collapse; margin: 1em 0 }}
th, td {{ text-align: left; padding: 0.2em 1.5em 0.2em 0; border-bottom: 1px solid #dddddd; font-weight: normal }}
th {{ color: #555555 }}
</style>
</head>
<body>
<h1>{title}</h1>
{figure}
<table>
{rows}
</table>
</body>
</html>
"""


def summary(film: Recording) -> dict[str, str]:
    """Return what is told beside the pictures, by name."""
    sizes = film.sizes
    keys = [count for count, key in zip(sizes, film.keys) if key]
    others = [count for count, key in zip(sizes, film.keys) if not key]
    told = {"codec": " ".join(filter(None, (film.facts["codec"], film.facts["profile"])))}
    told["size"] = f"{film.facts['size'].replace('x', ' × ')} at {float(film.facts['fps']):g} fps"
    if "backend" in film.facts:
        simulated = ", simulated on the CPU" if film.facts["backend"] == "sim" else ""
        told["encoded on"] = f"{film.facts['chip']} by DVPP {film.facts['interface'].upper()}{simulated}"
    told["length"] = f"{clock(film.duration)}, {len(sizes)} pictures, {size(sum(sizes))}"
    told["bit rate"] = bits(film.bit_rate) + ("" if film.asked is None else f" of {bits(film.asked)} asked for")
    told["key frames"] = f"{len(keys)}, {size(sum(keys) / max(1, len(keys)))} on average"
    if others:
        told["other frames"] = f"{len(others)}, {size(sum(others) / len(others))} on average"
    if film.latencies:
        half, most, last = (quantile(film.latencies, share) * 1000 for share in (0.5, 0.99, 1.0))
        told["latency"] = f"{half:.1f} ms (half), {most:.1f} ms (99 %), {last:.1f} ms at most"
    return told


def new_figure(width: float, height: float, rows: int, heights: list[float] | None = None) -> tuple[Any, Any]:
    """Return a figure of that size in inches, and its axes one below the other, as high as `heights` are to each other.

    Raises VencError without matplotlib.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise VencError(
            f"drawing needs matplotlib: pip install 'ascend-venc[plot]' ({error}); --ascii does not"
        ) from None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")  # without pyplot: nothing is kept in the process
        axes = figure.subplots(rows, 1, squeeze=False, gridspec_kw={"height_ratios": heights or [1] * rows})[:, 0]
    return figure, axes


def draw(film: Recording, title: str, window: float) -> Any:
    """Return a figure under a title ("" for none): sizes by kind, the windowed rate beside the asked one, latency."""
    panels = 3 if film.latencies else 2
    figure, axes = new_figure(12, 1.2 + 2.6 * panels, panels)
    facts = summary(film)
    about = "  ·  ".join(facts[name] for name in ("codec", "size", "encoded on") if name in facts)
    figure.suptitle("\n".join(filter(None, (title, about))), x=0.01, ha="left", fontsize=12)
    many = len(film.times) > _MANY
    for key, color, marker, label in ((False, BLUE, ".", "other frames"), (True, ORANGE, "D", "key frames")):
        rows = [(t, s / 1000) for t, s, k in zip(film.times, film.sizes, film.keys) if k == key]
        if rows:
            shown, sizes = zip(*rows)
            axes[0].vlines(shown, 0, sizes, color=color, linewidth=1.2, alpha=0.7, rasterized=many)
            axes[0].plot(shown, sizes, marker, color=color, markersize=5, linestyle="", label=label, rasterized=many)
    axes[0].set_ylabel("size, kB")
    times, rates = film.windowed_rate(window)
    axes[1].plot(times, [rate / 1e6 for rate in rates], color=GREEN, linewidth=1.8, label=f"the last {window:.3g} s")
    axes[1].axhline(film.bit_rate / 1e6, color=PURPLE, linestyle=":", linewidth=1.8, label="average")
    if film.asked is not None:
        axes[1].axhline(film.asked / 1e6, color=BLACK, linestyle="--", linewidth=1.4, label="asked for")
    axes[1].set_ylabel("rate, Mbit/s")
    if film.latencies:
        values = [latency * 1000 for latency in film.latencies]
        axes[2].plot(film.times, values, color=BLUE, linewidth=1, rasterized=many, label="each picture")
        axes[2].axhline(quantile(values, 0.99), color=ORANGE, linestyle="--", linewidth=1.4, label="99 % below")
        axes[2].set_ylabel("latency, ms")
    for axis in axes:
        axis.set_ylim(0, axis.get_ylim()[1] * 1.05)
        axis.set_xlim(-0.012 * film.duration, 1.012 * film.duration)  # room for the first and the last one's marks
        axis.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, borderaxespad=0)
    axes[-1].set_xlabel("time, s")
    return figure


def save(figure: Any, file: BinaryIO, kind: str) -> None:
    """Write a figure as "svg" or "png"."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure.savefig(file, format=kind, dpi=100, metadata={"Date": None} if kind == "svg" else {"Software": None})


def page(film: Recording, title: str, figure: Any) -> bytes:
    """Return an HTML page with the figure and what is told beside it."""
    drawn = io.BytesIO()
    save(figure, drawn, "svg")
    svg = drawn.getvalue().decode()
    rows = "\n".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in summary(film).items()
    )
    return _PAGE.format(title=html.escape(title), figure=svg[svg.index("<svg") :], rows=rows).encode()


def as_text(film: Recording, width: int, window: float, unicode: bool) -> list[str]:
    """Return the same as lines of a terminal: what is told, then sizes and rates as columns."""
    told = {name: text if unicode else text.replace("×", "x") for name, text in summary(film).items()}
    lines = [line for name, text in told.items() for line in textwrap.wrap(f"{name}: {text}", max(width, NARROWEST))]
    width = max(10, min(width, 100))
    kilobytes = [count / 1000 for count in film.sizes]
    lines += [
        "",
        *_columns(film.times, kilobytes, film.duration, width, "size, kB (the largest of each column)", unicode),
    ]
    times, rates = film.windowed_rate(window)
    title = f"rate, kbit/s (of {window:.3g} s)"
    lines += ["", *_columns(times, [rate / 1000 for rate in rates], film.duration, width, title, unicode)]
    if film.latencies:
        values = [latency * 1000 for latency in film.latencies]
        lines += ["", *_columns(film.times, values, film.duration, width, "latency, ms", unicode)]
    return lines


_HEIGHT = 6  # rows
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def _columns(times: list[float], values: list[float], end: float, width: int, title: str, unicode: bool) -> list[str]:
    scale = max(values, default=0.0) or 1.0
    label = f"{scale:.4g}"
    across = max(1, width - len(label) - 1)
    highest = [0.0] * across
    for time, value in zip(times, values):
        column = min(across - 1, int(time / end * across)) if end else 0
        highest[column] = max(highest[column], value)
    if len(times) < across:  # a picture is as wide as it is long
        for column in range(1, across):
            highest[column] = highest[column] or highest[column - 1]
    lines = [title[:width]]
    for row in range(_HEIGHT - 1, -1, -1):
        filled = [min(1.0, max(0.0, value / scale * _HEIGHT - row)) for value in highest]
        marks = "".join(_EIGHTHS[round(8 * share)] if unicode else ("#" if share >= 0.5 else " ") for share in filled)
        edge = label if row == _HEIGHT - 1 else "0".rjust(len(label)) if row == 0 else " " * len(label)
        lines.append(f"{edge} {marks}".rstrip())
    return lines
