"""Limits of tests that wait for other processes."""

HANG = 900.0
"""Seconds after which a process is taken to hang. No test depends on speed: on a machine under load
everything takes many times longer, and passes."""
