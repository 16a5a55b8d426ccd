"""The base of all other packages: errors, progress, files, locks, workers, devices."""
