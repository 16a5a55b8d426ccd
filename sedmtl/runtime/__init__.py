"""What every room stands on: errors, progress, files, locks, workers, devices."""
