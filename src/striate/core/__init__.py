"""What every other part stands on: configs, run folders, hashes, caches, files, devices."""
