"""Files: whole or absent, sealed, stamped, locked, weighed before they are written."""
