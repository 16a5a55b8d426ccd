"""The subcommands, one file each: they bring data to the arithmetic and results to disk."""
