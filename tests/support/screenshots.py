"""Pictures of the demo app for the docs, on a desk and on a phone: `make screenshots`."""

from __future__ import annotations

import argparse
from pathlib import Path

from browser import DESKTOP, MISSING, PHONE, chromium
from PIL import Image

from stacked_emotion.hub_card import demo_app

TEXT = "شو هالخبر الحلو، اشتقتلكن كتير ❤️ بس خايفة ما نلحق نشوفكن"
"""An invented text of mixed feelings, in Levantine."""
COLORS = 128


def main() -> None:
    """Start the app for a model, ask it about the text, and keep what it looks like."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="folder of a model or run")
    parser.add_argument("output", type=Path, help="folder of the pictures")
    parser.add_argument("--name", default="demo", help="how their names go on after space_")
    options = parser.parse_args()
    if MISSING:
        raise SystemExit(f"The pictures need a browser: {MISSING}.")
    options.output.mkdir(parents=True, exist_ok=True)
    interface = demo_app(options.model, block=False)
    try:
        with chromium() as browser:
            for device, settings in (("desktop", DESKTOP), ("phone", PHONE)):
                page = browser.new_context(**settings).new_page()
                page.set_default_timeout(120_000)
                page.goto(interface.local_url)
                page.fill("#se-text textarea", TEXT)
                page.click("#se-go")
                page.wait_for_selector("#se-trust .se-parts")
                page.wait_for_timeout(800)  # until the button has its color back
                target = options.output / f"space_{options.name}_{device}.png"
                page.screenshot(path=str(target), full_page=True)
                with Image.open(target) as picture:
                    picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(
                        target, optimize=True
                    )
                print(f"{target}: {target.stat().st_size / 1000:.0f} kB")
    finally:
        interface.close()


if __name__ == "__main__":
    main()
