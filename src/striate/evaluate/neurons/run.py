"""Predicting neurons as a run: models and recordings in, tables with controls out."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.device import device_name
from striate.core.errors import InputError
from striate.core.files import locked, write_json, write_table
from striate.core.run import RunFolder, check_run_folder, holds_same_run
from striate.data import Dataset, StimulusSet, assert_unseen_by, read_rdms_92images
from striate.data.responses.rdms_92images import Rdms
from striate.data.splits.split import SPLIT_FILE
from striate.encoding.null import describe_unresolved
from striate.evaluate.common.model_records import model_record, write_models
from striate.evaluate.common.options import Options
from striate.evaluate.common.unrelated import find_unrelated
from striate.evaluate.neurons.config import TWIN, PredictModel, PredictRunConfig
from striate.evaluate.neurons.freeman_ziemba import choose_taps, freeman_ziemba, parts_of
from striate.evaluate.neurons.inputs import Material
from striate.evaluate.neurons.measure import score_model
from striate.evaluate.neurons.resampled import BEST, folders, load_scored
from striate.evaluate.neurons.rsa_tables import rsa_tables
from striate.evaluate.neurons.tables import difference_table, score_table, seed_table
from striate.evaluate.similarity.models import RDM_BATCH, rsa_table, with_twins
from striate.models import Model, random_twin
from striate.models.taps import resolve_tap


def predict_neurons(
    config: PredictRunConfig, out: str | Path, options: Options | None = None
) -> Path:
    """Score models on every data set of a config and write a run folder; returns it.

    The folder gets `SET/MODEL-SEED/` (kept scores: a run that was stopped goes on), and
    `tables/`: `scores`, `null` (by subject), `seeds`, `differences` (each model less its random
    twin), `rsa` where a set asks for it, `freeman_ziemba` and `freeman_ziemba_taps`,
    `rdms_92images`; `models.json`, `unrelated.json` and `notes.json`.

    Raises:
        InputError: data, models or settings that do not fit.
        LeakError: a model has seen a stimulus that it would be tested on.
    """
    options, out = options or Options(), Path(out)
    check_run_folder(out, config, overwrite=options.overwrite)
    for device in _list_devices(config):
        device_name(device)
    models = {name: _load_model(name, settings) for name, settings in config.models.items()}
    saved = holds_same_run(out, config) and not options.overwrite
    materials = {
        name: Material.read(name, settings, out / name / SPLIT_FILE if saved else None)
        for name, settings in config.sets.items()
    }
    for material in materials.values():
        material.check()
    texture_settings, rdm_settings = config.freeman_ziemba, config.rdms_92images
    textures = None if texture_settings is None else texture_settings.read()
    rdms = None if rdm_settings is None else read_rdms_92images(rdm_settings.path)
    run = RunFolder(
        out, config, command=options.command, verb="predict", overwrite=options.overwrite
    )
    with locked(run.path / ".lock", wait=False):
        (run / "notes.json").unlink(missing_ok=True)  # the last file of a run that has ended
        write_models(run.path, [model_record(name, model) for name, model in models.items()])
        cache = Cache(run / "cache")  # features of whole maps are large: they go with the run
        notes = [
            f"{name} has fixed filters, so it has no random-weight twin."
            for name, model in models.items()
            if config.random and not _has_weights(model)
        ]
        notes += [f"{m.name}: {note}" for m in materials.values() for note in m.notes]
        tables: dict[str, list[pd.DataFrame]] = {}
        for material in materials.values():
            material.split.save(run / material.name / SPLIT_FILE)
            _score_set(run.path, config, material, models, cache, options)
            for table, rows in set_tables(run.path, material, config).items():
                tables.setdefault(table, []).append(rows)
        if textures is not None:
            made = _score_textures(config, textures, models, cache, options, notes)
            tables |= {table: [rows] for table, rows in made.items()}
        if rdms is not None:
            options.say("RSA with IT of 92 images")
            tables["rdms_92images"] = [_it_table(config, rdms, models, cache)]
        unrelated = _list_unrelated(tables.get("null", []), config)
        for null in tables.get("null", []):
            notes += [f"{null['data'].iloc[0]}: {line}" for line in describe_unresolved(null)]
        (run / "tables").mkdir(exist_ok=True)
        for old in (run / "tables").glob("*.parquet"):  # of a run with other settings
            old.unlink()
        for table, parts in tables.items():
            write_table(run / f"tables/{table}.parquet", pd.concat(parts, ignore_index=True))
        write_json(run / "unrelated.json", unrelated)
        for line in unrelated:
            options.say(f"note: {line}")
        write_json(run / "notes.json", notes)
        shutil.rmtree(cache.root, ignore_errors=True)
    return run.path


def _list_unrelated(nulls: list[pd.DataFrame], config: PredictRunConfig) -> list[str]:
    """Name the data sets, and subjects in them, that no model predicts."""
    lines = []
    for null in nulls:
        data = str(null["data"].iloc[0])
        draws = config.sets[data].readout.permutations
        table = null.rename(columns={"null": "null_mean"})
        most = np.minimum(draws, table["arrangements"] - 1)
        lines += [f"{data}: {line}" for line in find_unrelated(table.assign(permutations=most))]
    return lines


def _load_model(name: str, settings: PredictModel) -> Model:
    try:
        model = settings.build()
        for tap in [
            *settings.taps.values(),
            *(t for readout in settings.readouts.values() for t in readout),
        ]:
            resolve_tap(model.network, tap)
        return model
    except InputError as error:
        raise InputError(f"model {name}: {error}") from error


def _list_devices(config: PredictRunConfig) -> list[str]:
    """Devices that are asked for, so that one that is not there is told before anything is made."""
    devices = [settings.device for settings in config.sets.values()]
    if config.freeman_ziemba is not None:
        devices.append(config.freeman_ziemba.device)
    if config.rdms_92images is not None:
        devices.append(config.rdms_92images.device)
    return devices


def _has_weights(model: Model) -> bool:
    return any(True for _ in model.network.parameters())


def _score_set(
    out: Path,
    config: PredictRunConfig,
    material: Material,
    models: dict[str, Model],
    cache: Cache,
    options: Options,
) -> None:
    for name, model in models.items():
        settings = config.models[name]
        readouts = {k: list(taps) for k, taps in settings.readouts.items()}
        every = [tap for taps in readouts.values() for tap in taps]
        readouts[BEST] = list(dict.fromkeys([*every, *model.taps]))
        nets = {name: model}
        if config.random and _has_weights(model):
            nets[name + TWIN] = random_twin(model, settings.seed)
        for label, net in nets.items():
            started = time.monotonic()
            folder = out / material.name / f"{label}-{settings.seed}"
            new = score_model(
                net, material, readouts, folder, name=label, seed=settings.seed, cache=cache
            )
            units = pd.read_parquet(folder / "units.parquet")
            best = units[units["readout"] == BEST].groupby("kind")["r"].mean().round(3).to_dict()
            took = f"{time.monotonic() - started:.0f} s" if new else "kept"
            options.say(f"{material.name} {label}: {took}; mean r of the best tap {best}")
            shutil.rmtree(cache.root / "features", ignore_errors=True)  # of no other model


def set_tables(out: Path, material: Material, config: PredictRunConfig) -> dict[str, pd.DataFrame]:
    """Tables of one data set over the models of a config."""
    labels = [n + t for n in config.models for t in ("", TWIN)]
    seeds = {n: settings.seed for n, settings in config.models.items()}
    wanted = [f"{label}-{seeds[label.removesuffix(TWIN)]}" for label in labels]
    finished = {folder.name: folder for folder in folders(out / material.name)}
    scored_folders = [finished[name] for name in wanted if name in finished]
    scored = load_scored(scored_folders, config.bootstrap, config.seed)
    units, nulls = (
        pd.concat([pd.read_parquet(f / f"{t}.parquet") for f in scored_folders])
        for t in ("units", "null")
    )
    tables = {"scores": score_table(scored, units, nulls), "seeds": seed_table(scored)}
    tables["null"] = nulls
    differences = []
    for name in config.models:
        pair = {key: score for key, score in scored.items() if key.model in (name, name + TWIN)}
        differences.append(difference_table(pair, name, config.seed))
    differences = [table for table in differences if len(table)] or [pd.DataFrame()]
    tables["differences"] = pd.concat(differences, ignore_index=True)
    if material.config.rsa:
        groups = material.groups(next(iter(material.dataset)))
        similar, _ = rsa_tables(scored_folders, material.rdms(), groups, next(iter(config.models)))
        tables["rsa"] = similar
    simulated = material.dataset.simulated
    return {k: v.assign(data=material.name, simulated=simulated) for k, v in tables.items()}


def _score_textures(
    config: PredictRunConfig,
    dataset: Dataset,
    models: dict[str, Model],
    cache: Cache,
    options: Options,
    notes: list[str],
) -> dict[str, pd.DataFrame]:
    settings = config.freeman_ziemba
    assert settings is not None
    protocol = settings.protocol()
    protocol = protocol.model_copy(update={"random_twin": settings.random_twin and config.random})
    scored, choosing = parts_of(dataset)
    facts = dataset.facts
    notes.append(f"FreemanZiemba2013: {facts['file']} is {facts['known_as']}.")
    if choosing is not None:
        notes.append("FreemanZiemba2013: the private stimuli are scored; the public ones only "
                     "choose taps.")  # fmt: skip
    pca = None if settings.pca_images is None else StimulusSet.from_folder(settings.pca_images)
    rows, chosen = [], []
    for name, model in models.items():
        taps = {str(region): tap for region, tap in config.models[name].taps.items()}
        chose = set(settings.regions) - set(taps)
        if chose:
            if choosing is None:
                raise InputError(
                    f"model {name}: no tap is given for {', '.join(sorted(chose))}, and the data "
                    f"({facts['subset']}) leave no stimuli to choose on. Give "
                    f"models.{name}.taps.V1=…"
                )
            part = protocol.model_copy(update={"regions": tuple(sorted(chose))})
            best, table = choose_taps(model, choosing, config=part, pca=pca, cache=cache)
            taps = {**best, **taps}
            chosen.append(table.assign(model=name))
        scores = freeman_ziemba(
            model, scored, taps, protocol, name=name,
            chosen_on=choosing if chose else None, twin_seed=config.models[name].seed, cache=cache,
        )  # fmt: skip
        scores.loc[~scores["region"].isin(list(chose)), "tap_chosen"] = "given"
        rows.append(scores.assign(subset="private" if choosing is not None else facts["subset"]))
        for row in scores[scores["weights"] == "own"].itertuples():
            options.say(
                f"FreemanZiemba2013 {row.region} {name} ({row.tap}): r {row.r:.3f}, "
                f"(r/c)^2 {row.r_over_c_squared:.3f}, r^2/c {row.r_squared_over_c:.3f}"
            )
    out = {"freeman_ziemba": pd.concat(rows, ignore_index=True)}
    if chosen:
        out["freeman_ziemba_taps"] = pd.concat(chosen, ignore_index=True)
    return out


def _it_table(
    config: PredictRunConfig, data: Rdms, models: dict[str, Model], cache: Cache
) -> pd.DataFrame:
    """Similarity of every tap to human IT (with a noise ceiling over people) and to monkey IT."""
    settings = config.rdms_92images
    assert settings is not None
    for name, model in models.items():
        assert_unseen_by(model, data.stimuli, f"{name} on the 92 images")
    people = list(dict.fromkeys(n.split("_")[1] for n in data.names if n.count("_") == 2))
    human = np.array([data.starting(f"human_{p}_").mean(axis=0) for p in people])
    rdms: dict[str, np.ndarray] = {}
    for name, model in models.items():
        rdms |= with_twins(
            {name: model},
            data.stimuli,
            measure=settings.measure,
            seed=config.models[name].seed,
            twins=config.random,
            compute=Compute(settings.device, batch_size=RDM_BATCH, cache=cache, progress=False),
        )
    parts = []
    for brain, target in (("human IT", human), ("monkey IT", data["monkey_IT"])):
        beside = rdms | ({"monkey IT": data["monkey_IT"]} if brain == "human IT" else {})
        table, _ = rsa_table(
            beside, target, methods=settings.methods, samples=config.bootstrap,
            permutations=settings.permutations, seed=config.seed,
        )  # fmt: skip
        parts.append(table.assign(data=brain, measure=settings.measure))
    return pd.concat(parts, ignore_index=True)
