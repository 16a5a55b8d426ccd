"""The page about the finished runs of a project: `page` fills in `templates/report.html`."""
