"""The Space's entry: loads the model that `space.json` names, at its commit, and shows the app."""

import json
from pathlib import Path

from stacked_emotion.hub_card.space.interface import (
    build_interface,
    launch_options,
    load_predictor,
)

settings = json.loads(Path(__file__).with_name("space.json").read_text(encoding="utf-8"))
model, revision = settings.pop("model"), settings.pop("revision")
demo = build_interface(load_predictor(model, revision), **settings)

if __name__ == "__main__":
    demo.launch(**launch_options())
