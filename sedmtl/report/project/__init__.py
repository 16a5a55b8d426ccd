"""The page about a whole work folder: what is on it, as plain values. Pure.

`report.report` brings runs and stores, `page` puts everything together and fills in
`templates/report.html`.
"""
