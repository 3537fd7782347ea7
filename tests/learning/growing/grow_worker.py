"""One of several processes that grow one model; started by test_grow under torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from tests.learning.worker import work_grow

if __name__ == "__main__":
    torch.set_num_threads(1)
    job = json.loads(sys.argv[1])
    work_grow(job["config"], Path(job["folder"]))
