"""Anybody's data: a folder of images and a table or array of responses, paired by stimulus id.

    DATA/images/…                    any images; the id is the path below `images`, no suffix
    DATA/responses.csv|parquet       a column `stimulus_id`, one further column a unit
    DATA/responses.npy               (stimuli, units) or (stimuli, repeats, units), with
    DATA/stimulus_ids.txt            one id a line, the order of the rows of the `.npy`
    DATA/responses.nc                a DataArray as `Responses` describes it
    DATA/units.csv                   optional: unit_id, hemisphere, session, noise_ceiling and
                                     roi_NAME (0/1); where it is there, it says what the units are

Several subjects: `DATA/SUBJECT/responses.*` (and `units.csv`, `stimulus_ids.txt`) each, with the
images in `DATA/SUBJECT/images`, or shared in `DATA/images`.
"""

from striate.data.readers.folder.examination import examine_folder, is_folder
from striate.data.readers.folder.reading import read_folder, read_responses
from striate.data.readers.reader import Reader

READER = Reader(
    name="folder",
    layout="images/ and responses.csv, .parquet, .nc or .npy with stimulus_ids.txt",
    recognize=is_folder,
    read=read_folder,
    examine=examine_folder,
)

__all__ = ["READER", "read_responses"]
