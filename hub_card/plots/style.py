"""What all plots share: colors, fonts, and text that reads from right to left.

The colors are those of Okabe and Ito (2008): readers with any common color vision can tell them
apart. Lines also differ in dash, and bars in hatch.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from ...common.inert_text import in_plot

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "//", "..", "xx", "\\\\", "oo")
BAR = "#9ECBE8"
_FONTS = ("DejaVu Sans", "Noto Sans Arabic", "Noto Sans CJK JP", "Noto Sans Devanagari")
_SHAPES_ITSELF = (3, 11)
_RIGHT_TO_LEFT = ("R", "AL")


def style() -> dict[str, Any]:
    """The settings (`matplotlib.rc_context`) of all plots, with the fonts that are installed."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return {
        "font.family": [name for name in _FONTS if name in installed] or ["sans-serif"],
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.titlesize": 12,
        "grid.alpha": 0.3,
        "figure.dpi": 110,
        "savefig.dpi": 110,
        "figure.constrained_layout.use": True,
        "hatch.linewidth": 0.8,
        "svg.hashsalt": "stacked_emotion",
    }


def shaped(text: str) -> str:
    """Foreign text for matplotlib: inert, and with Arabic joined and read from right to left.

    From 3.11 on matplotlib lays text out itself. For older versions `arabic-reshaper` and
    `python-bidi` of the extra `plots` join and reorder the letters here.
    """
    import matplotlib

    text = in_plot(text)
    if matplotlib.__version_info__[:2] >= _SHAPES_ITSELF or not reads_right_to_left(text):
        return text
    from arabic_reshaper import reshape
    from bidi.algorithm import get_display

    return str(get_display(reshape(text)))


def reads_right_to_left(text: str) -> bool:
    """Whether a letter of a script that is written from right to left is in it."""
    return any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in text)
