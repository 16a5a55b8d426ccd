"""The command line: parse, read `data.yaml`, act, print."""
