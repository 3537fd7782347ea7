"""The page of each verb's run."""
