"""The HDF5 stores passed between stages; the only package that uses HDF5.

A store is complete or absent. It holds large arrays, one row per chunk, and the clip tables.
"""

from sedmtl.store.encoder_card import NOT_STATED, EncoderCard
from sedmtl.store.hashes import Attributes
from sedmtl.store.paths import (
    choose_store,
    data_name,
    folds_of,
    mixture_path,
    other_snr_db,
    store_of_wav,
    stores_in,
)
from sedmtl.store.reader import (
    CLIP_FACTS,
    FULL_SCALE,
    Rows,
    Store,
    batches,
    check_encoder,
    check_mixing,
)
from sedmtl.store.rows import RowArray, n_bytes_of
from sedmtl.store.scores import HeldOutScores, read_scores, write_scores
from sedmtl.store.tables import (
    ClipTable,
    EventTable,
    annotation_of,
    check_n_classes,
    known_clips,
)
from sedmtl.store.vectors import VectorFile
from sedmtl.store.windows import WindowTable
from sedmtl.store.writer import SCHEMA, StoreWriter, announce, disk_bytes
