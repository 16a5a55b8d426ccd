"""`sedmtl features`."""

from __future__ import annotations

from sedmtl.cli import options, output


def command(
    snr: options.Snrs = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    config: options.ConfigPath = options.DATA_YAML,
) -> None:
    """Compute the log-mel of the mixtures, or of your own recordings (corpus.clips)."""
    from sedmtl.features.extraction import features
    from sedmtl.store import data_name

    names = [data_name(snr_db) for snr_db in snr or []]
    n_workers = options.count_workers(workers, scheduler)
    output.echo(features(options.load_project(config), names, n_workers, scheduler))
