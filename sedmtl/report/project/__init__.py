"""The content of the page about a work folder, as plain values. Pure.

`report.report` reads runs and stores; `page` fills in `templates/report.html`.
"""
