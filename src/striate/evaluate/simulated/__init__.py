"""Subjects with planted truth, and the main job on them: `simulate` and `demo`."""
