"""Stimuli, responses, splits, noise ceilings, readers and simulation."""

from striate.data.dataset import Dataset, Recording
from striate.data.doctor import diagnose
from striate.data.rdms import Rdms, read_rdms_92images
from striate.data.readers import READERS, read
from striate.data.responses import Responses, Target
from striate.data.splits import PARTS, Split, SplitConfig, assert_unseen, make_split
from striate.data.stimuli import StimulusSet
from striate.data.tidy import tidy

__all__ = [
    "PARTS",
    "READERS",
    "Dataset",
    "Rdms",
    "Recording",
    "Responses",
    "Split",
    "SplitConfig",
    "StimulusSet",
    "Target",
    "assert_unseen",
    "diagnose",
    "make_split",
    "read",
    "read_rdms_92images",
    "tidy",
]
