"""The HDF5 stores that stages hand on; the only package that knows HDF5.

A store is complete or absent. One row a chunk; tables of the clips beside the big array.
"""

from sedmtl.stores.digests import Attributes
from sedmtl.stores.reader import Store
from sedmtl.stores.scores import HeldOutScores, read_scores, write_scores
from sedmtl.stores.shelf import (
    choose_store,
    data_name,
    folds_of,
    mixture_path,
    other_snr_db,
    stores_in,
)
from sedmtl.stores.tables import ClipTable, EventTable
from sedmtl.stores.writer import SCHEMA, RowArray, StoreWriter

__all__ = [
    "SCHEMA",
    "Attributes",
    "ClipTable",
    "EventTable",
    "HeldOutScores",
    "RowArray",
    "Store",
    "StoreWriter",
    "choose_store",
    "data_name",
    "folds_of",
    "mixture_path",
    "other_snr_db",
    "read_scores",
    "stores_in",
    "write_scores",
]
