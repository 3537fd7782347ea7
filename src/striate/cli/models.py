"""`striate models`: which networks there are."""

from __future__ import annotations

from striate.cli.common import Json, tell_json


def run(as_json: Json = False) -> None:
    """List the models, their taps, and where their weights come from."""
    from striate.models import list_models

    models = list_models()
    if as_json:
        tell_json({"models": models})
        return
    for model in models:
        here = "on this machine" if model["here"] else "not on this machine"
        print(
            f"{model['id']}: {model['parameters']:,} parameters, {model['input']} x "
            f"{model['input']} pixels; weights: {model['weights']} ({here})"
        )
        if not model["id"].endswith("@random"):
            print(f"  taps: {', '.join(model['taps'])}")
    print("timm:NAME, torchvision:NAME: any model of those libraries (pip install 'striate[zoo]')")
