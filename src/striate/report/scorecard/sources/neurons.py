"""Neurons predicted: `striate predict`, `compare` and `encode`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from striate.evaluate.common.measurement import NAN, Measurement
from striate.evaluate.neurons.config import TWIN
from striate.evaluate.tuned.summary import average_controls
from striate.report.scorecard.sources.common import (
    SHUFFLED,
    Config,
    area_of_data,
    area_of_roi,
    comparable,
    rows_of,
    table_of,
)


def sets(run: Path, config: Config) -> Iterator[Measurement]:
    """`striate predict`, recordings by ridge and PLS."""
    table = table_of(run, "scores")
    keys = ["data", "readout", "kind", "model"]
    value = table.set_index(keys)["r"]
    for row in rows_of(table):
        if str(row["model"]).endswith(TWIN):
            continue
        settings = config["sets"][row["data"]]
        data = settings["data"]["name"]
        name = row["data"] if data == "folder" else data
        rois = list(settings["data"]["rois"] or [])
        roi = rois[0] if len(rois) == 1 else str(row["data"])
        area = area_of_data(data) or area_of_roi(roi)
        twin = (row["data"], row["readout"], row["kind"], row["model"] + TWIN)
        partly = _describe_part(row.get("sessions_with_ceiling"), row["sessions"], "sessions")
        yield Measurement(
            measure=area,
            row=f"{name}: r, {row['kind']}, {row['readout']}",
            model=row["model"],
            value=row["r"],
            low=row["low"],
            high=row["high"],
            over=row.get("over", "images"),  # runs of earlier versions do not tell
            ceiling=row.get("ceiling", NAN) if not partly else NAN,
            ceiling_is=_name_ceiling(row),
            normalized=row["r_normalized"],
            explained=row.get("share_explained", NAN),
            random=float(value.get(twin, NAN)),
            null=row["null"],
            null_is=SHUFFLED,
            detail=f"{row['tap']}{partly}",
            simulated=bool(row["simulated"]),
            protocol={**comparable(settings), "sessions": int(row["sessions"])},
        )


def freeman_ziemba(run: Path, config: Config) -> Iterator[Measurement]:
    """`striate predict`, V1 and V2 by the protocol of FreemanZiemba2013."""
    table = table_of(run, "freeman_ziemba")
    twins = table[table["weights"] == "random"].set_index(["model", "region"])["r"]
    settings = {k: v for k, v in config["freeman_ziemba"].items() if k != "random_twin"}
    for row in rows_of(table[table["weights"] == "own"]):
        yield Measurement(
            measure=row["region"],
            row="FreemanZiemba2013: r, PLS",
            model=row["model"],
            value=row["r"],
            low=row["low"],
            high=row["high"],
            over=row.get("over", "stimuli"),  # runs of earlier versions do not tell
            ceiling=row["ceiling"] ** 0.5 if row["ceiling"] >= 0 else NAN,
            ceiling_is="root of the reliability of repetitions",
            random=float(twins.get((row["model"], row["region"]), NAN)),
            null=row["null"],
            null_is=f"{row.get('over', 'stimuli')} shuffled",
            detail=f"{row['tap']}; r²/c {row['r_squared_over_c']:.3f}",
            simulated=bool(row["simulated"]),
            protocol={**comparable(settings), "stimuli": str(row["subset"])},
        )


def images92(run: Path, config: Config) -> Iterator[Measurement]:
    """`striate predict`, representational similarity with IT: of the deepest tap."""
    table = table_of(run, "rdms_92images")
    split = table["model"].str.rpartition("/")
    table = table.assign(name=split[0], tap=split[2])
    table = table[table["name"] != ""]  # the monkey beside the models has no tap
    keys = ["data", "method", "name"]
    deepest = table.drop_duplicates(keys, keep="last")
    similarity = deepest.set_index(keys)["similarity"]
    for row in rows_of(deepest):
        data, method, name = (str(row[k]) for k in keys)
        if name.endswith(TWIN):
            continue
        twin = (data, method, f"{name}{TWIN}")
        yield Measurement(
            measure="IT",
            row=f"{data}, 92 images: RDM {method}, deepest tap",
            model=name,
            value=row["similarity"],
            low=row["low"],
            high=row["high"],
            over="stimuli",
            ceiling=row["ceiling_low"],
            ceiling_is="lower noise ceiling over people" if row["ceiling_low"] > 0 else "",
            random=float(similarity.get(twin, NAN)),
            null=row["null"],
            null_is=SHUFFLED,
            detail=str(row["tap"]),
            protocol={"measure": config["rdms_92images"]["measure"]},
        )


def encoding(run: Path, config: Config) -> Iterator[Measurement]:
    """`striate compare` and `striate encode`: mean r over units and subjects of each ROI."""
    table, null, rois = table_of(run, "group"), table_of(run, "null"), table_of(run, "rois")
    place = ["generalization", "hemisphere", "roi"]
    controls = average_controls(rois, null).to_dict("index")
    random = table[table["model"] == "random"].set_index(place)["r"]
    data = comparable(config["data"])
    settings = {k: comparable(config[k]) for k in ("data", "split", "encode", "precision")}
    settings["encode"] = {k: v for k, v in settings["encode"].items() if k != "taps"}
    settings["image_size"] = config["model"]["image_size"]
    for row in rows_of(table):
        values = tuple(row[k] for k in place)
        where = " ".join(filter(None, (row["hemisphere"], row["roi"])))
        control = controls.get((*values, row["model"]), {})
        yield Measurement(
            measure=area_of_roi(row["roi"]),
            row=f"{data['name']} {where}: r, ridge, {row['generalization']}",
            model=row["model"],
            value=row["r"],
            low=row["r_low"],
            high=row["r_high"],
            over="subjects",
            ceiling=float(control.get("ceiling", NAN)),
            ceiling_is=_name_ceiling(row),
            normalized=row["r_normalized"],
            explained=row.get("share_explained", NAN),
            random=NAN if row["model"] == "random" else float(random.get(values, NAN)),
            null=float(control.get("null", NAN)),
            null_is=SHUFFLED,
            detail=f"{row['n_subjects']} subjects, {row['n_units']} units"
            + _describe_part(row.get("n_ceiling"), row["n_subjects"], "subjects"),
            simulated=bool(row["simulated"]),
            protocol=settings,
        )


def _name_ceiling(row: Mapping[str, Any]) -> str:
    """What the mean of units' ceilings is; runs of earlier versions do not tell the source."""
    source = str(row.get("ceiling_source", ""))
    origins = {"repeats": " (repeats of these stimuli)", "given": " (given with the data)"}
    return "mean noise ceiling of units" + origins.get(source, f" ({source})" if source else "")


def _describe_part(number: float | None, of: float, what: str) -> str:
    """Say where shares of the ceiling are of some subjects only, as the end of a detail."""
    if number is None or not 0 < number < of:
        return ""
    return f"; ceilings are of {int(number)} of {int(of)} {what}"
