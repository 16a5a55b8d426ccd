"""Published corpora: catalogue, download, unpacking and verification."""
