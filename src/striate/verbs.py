"""One table of the verbs that make runs. Whatever depends on who made a run asks it.

A row names the config of a verb, what carries it out, the page of its run, what it gives a
scorecard and what the command line says at its end, each by its address (`package.module:name`).
Addresses are resolved when they are used, so that `striate --help` is quick and this module knows
nobody. Each run says in its `provenance.json` which verb made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from striate.core.errors import InputError
from striate.core.files import read_json

RESERVED = ("config", "demo", "doctor", "models", "report")
"""Words of the command line that make no run."""


@dataclass(frozen=True)
class Verb:
    """One verb that makes runs; every address is `package.module:name`.

    Attributes:
        name: on the command line, and in `provenance.json`.
        help: for the command line: a line, and below it an example.
        config: address of its `striate.core.config.Config`.
        run: address of the function (config, out, options) that writes the run folder, with
            `RunFolder(…, verb=name)`.
        page: address of the function (run) that writes `report.html` into a run folder and returns
            its path; None where a run has no page.
        makes: what a run without a page holds, in words.
        finished: the file of a run folder that is written last; None where no file tells the end.
        scorecard: by the table that says a run has something to tell, the address of the function
            (run, config) that yields its `striate.evaluate.common.measurement.Measurement`s.
            `tables/scorecard.parquet` is read of every verb.
        ending: address of the function (result, folder, say) that says what came out, and returns
            what `--json` tells besides the folder and the report.
        shared: whether the processes that torchrun starts make one run together.
        command: address of a function that typer reads, where the options are not those of all
            verbs.
        also: other words of the command line whose runs are of this verb.
    """

    name: str
    help: str
    config: str
    run: str
    page: str | None = None
    makes: str = "no page"
    finished: str | None = None
    scorecard: Mapping[str, str] = field(default_factory=dict)
    ending: str = "striate.cli.endings:tell_folder"
    shared: bool = False
    command: str | None = None
    also: tuple[str, ...] = ()


VERBS: dict[str, Verb] = {}
"""By name, in the order of `striate --help`."""


def register(verb: Verb) -> None:
    """Make a verb known to the command line, to reports and to scorecards.

    Raises:
        InputError: its name is taken.
    """
    if verb.name in VERBS or verb.name in RESERVED:
        raise InputError(f"verb {verb.name!r} is taken. Register yours under another name.")
    VERBS[verb.name] = verb


def unregister(name: str) -> None:
    """Forget a verb that `register` made known."""
    del VERBS[name]


def resolve(address: str) -> Any:
    """Import what an address (`package.module:name`) names."""
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)


def find_verb(run: Path) -> Verb | None:
    """The verb that made a run, or None where the run does not tell a verb that is known here.

    Runs of earlier versions tell their command line alone.
    """
    path = run / "provenance.json"
    provenance = read_json(path) if path.exists() else {}
    name = provenance.get("verb") or _verb_in(str(provenance.get("command", "")))
    return VERBS.get(name)


def verb_of(run: Path) -> Verb:
    """The verb that made a run.

    Raises:
        InputError: the run does not tell one, or tells one that is not known here.
    """
    verb = find_verb(run)
    if verb is not None:
        return verb
    path = run / "provenance.json"
    name = read_json(path).get("verb") if path.exists() else None
    if name:
        raise InputError(
            f"{run} was made by the verb {name}, which is not known here. Known: "
            f"{', '.join(VERBS)}. Import what registers it first."
        )
    raise InputError(
        f"{run} does not tell which verb made it: there is none in its provenance.json. Call the "
        "command that made it again; it goes on where it was, and tells it."
    )


def _verb_in(command: str) -> str:
    """The verb of a command line `striate VERB …`; '' where there is none."""
    program, *words = command.split()[:2] or [""]
    word = words[0] if program == "striate" and words else ""
    return next((verb.name for verb in VERBS.values() if word in verb.also), word)


_PAGES = "striate.report.pages"
_SOURCES = "striate.report.scorecard.sources"
_TUNED: dict[str, Any] = {
    "page": f"{_PAGES}.tuned.page:build_tuned",
    "finished": "warnings.json",
    "scorecard": {"tables/group.parquet": f"{_SOURCES}.neurons:encoding"},
    "ending": "striate.cli.endings:tell_scores",
}
"""Of the verbs that score tuned or given models."""

register(
    Verb(
        "simulate",
        "Write SIMULATED subjects, in the layout of the Algonauts 2023 data, from photographs.",
        config="striate.evaluate.simulated.config:SimulateConfig",
        run="striate.evaluate.simulated.run:simulate",
        makes="data alone",
        command="striate.cli.simulate:run",
    )
)
register(
    Verb(
        "tune",
        "Tune one model to each ROI of each subject, or one to each ROI of all (pooled=true).\n\n"
        "For example: striate tune data.name=folder data.path=DATA tuning.epochs=10 pooled=true",
        config="striate.evaluate.tuned.config:TuneRunConfig",
        run="striate.evaluate.tuned.run:tune_models",
        makes="models alone",
        ending="striate.cli.endings:tell_models",
    )
)
register(
    Verb(
        "grow",
        "Grow a model layer by layer from deformed patches of photographs; no labels, no "
        "responses.\n\n"
        "The method's parts are one setting each: deformation, a, lambda, credit, projector, "
        "order,\nnetwork.channels=1 for gray; config.yaml in the results shows all settings.\n\n"
        "For example: striate grow photographs=[BSDS500,MORE] steps=4000 --out runs/lcl",
        config="striate.evaluate.growth.config:GrowRunConfig",
        run="striate.evaluate.growth.run:grow_model",
        page=f"{_PAGES}.growth:build_growth",
        finished="units.json",
        ending="striate.cli.endings:tell_growth",
        shared=True,
    )
)
register(
    Verb(
        "train",
        "Train a back-end with labels behind the first taps of a model; test it on distorted "
        "images.\n\n"
        "For example: striate train data.train=TRAIN data.test=TEST front.id=lcl_v2 --out runs/net",
        config="striate.evaluate.recognition.config:TrainRunConfig",
        run="striate.evaluate.recognition.run:train_model",
        page=f"{_PAGES}.recognition:build_training",
        finished="training.json",
        ending="striate.cli.endings:tell_training",
        shared=True,
    )
)
register(
    Verb(
        "encode",
        "Score models beside the untuned and the random network; nothing is tuned.\n\n"
        "For example: striate encode data.name=folder data.path=DATA models.mine=MODEL_FOLDER",
        config="striate.evaluate.tuned.config:EncodeRunConfig",
        run="striate.evaluate.tuned.run:score_models",
        **_TUNED,
    )
)
register(
    Verb(
        "compare",
        "Tune untuned, random, contrastive, regression and pooled models, score them, report.\n\n"
        "For example: striate compare data.name=folder data.path=DATA model.id=efficientnet_lite0",
        config="striate.evaluate.tuned.config:CompareConfig",
        run="striate.evaluate.tuned.run:compare",
        also=("demo",),
        **_TUNED,
    )
)
register(
    Verb(
        "predict",
        "Predict recorded neurons from models as they are, with controls, ceilings and "
        "intervals.\n\n"
        "For example: striate predict models.mine=MODEL_FOLDER sets.v4.data.name=cowley_v4\n"
        "sets.v4.data.path=DATA, or freeman_ziemba.path=DATA for Brain-Score's protocol in V1 "
        "and V2.",
        config="striate.evaluate.neurons.config:PredictRunConfig",
        run="striate.evaluate.neurons.run:predict_neurons",
        page=f"{_PAGES}.neurons:build_neurons",
        finished="notes.json",
        scorecard={
            "tables/freeman_ziemba.parquet": f"{_SOURCES}.neurons:freeman_ziemba",
            "tables/scores.parquet": f"{_SOURCES}.neurons:sets",
            "tables/rdms_92images.parquet": f"{_SOURCES}.neurons:images92",
        },
        ending="striate.cli.endings:tell_tables",
    )
)
register(
    Verb(
        "probe",
        "Show models gratings, textures and spectrally matched noise; tables and a report of "
        "units.\n\n"
        "For example: striate probe models.mine=runs/lcl/model models.random=lcl_v2@random "
        "--out runs/p",
        config="striate.evaluate.units.config:ProbeConfig",
        run="striate.evaluate.units.run:probe",
        page=f"{_PAGES}.units:build_probe",
        finished="probe.json",
        scorecard={
            "tables/texture_modulation.parquet": f"{_SOURCES}.units:modulation",
            "tables/similarity.parquet": f"{_SOURCES}.units:properties",
            "tables/tuning.parquet": f"{_SOURCES}.units:medians",
        },
    )
)
register(
    Verb(
        "behave",
        "Compare decisions of humans with each other and with those of classifiers.\n\n"
        "For example: striate behave --humans TRIALS\n"
        "or: striate behave --humans TRIALS categories=FILE stimuli.edge=FOLDER models.mine=FOLDER",
        config="striate.evaluate.behavior.config:BehaveConfig",
        run="striate.evaluate.behavior.run:behave",
        page=f"{_PAGES}.behavior:build_behavior",
        finished="behavior.json",
        scorecard={"tables/means.parquet": f"{_SOURCES}.behavior:behavior"},
        command="striate.cli.behave:run",
    )
)
