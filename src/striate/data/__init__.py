"""Stimuli, responses, splits, noise ceilings, readers and simulation."""

from striate.data.behavior.conditions import EXCLUDED, exclude
from striate.data.behavior.observers import Observers, line_up
from striate.data.behavior.trials import read_trials
from striate.data.doctor.diagnose import diagnose
from striate.data.images.stimuli import StimulusSet
from striate.data.readers import READERS, read
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.rdms_92images import Rdms, read_rdms_92images
from striate.data.responses.responses import Responses, Target
from striate.data.responses.tidy import tidy
from striate.data.splits.split import (
    PARTS,
    Split,
    SplitConfig,
    group_stimuli,
    load_split,
    make_split,
)
from striate.data.splits.unseen import assert_unseen, assert_unseen_by, assert_unseen_in

__all__ = [
    "EXCLUDED",
    "PARTS",
    "READERS",
    "Dataset",
    "Observers",
    "Rdms",
    "Recording",
    "Responses",
    "Split",
    "SplitConfig",
    "StimulusSet",
    "Target",
    "assert_unseen",
    "assert_unseen_by",
    "assert_unseen_in",
    "diagnose",
    "exclude",
    "group_stimuli",
    "line_up",
    "load_split",
    "make_split",
    "read",
    "read_rdms_92images",
    "read_trials",
    "tidy",
]
