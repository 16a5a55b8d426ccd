"""`data.yaml`: settings of the corpora, the mixing and the features.

One validated schema whose defaults are the paper's. Networks and training are not part of it: they
are options of `sedmtl train` and are recorded in the run folder.
"""

from sedmtl.config.corpora import Clips, Folder, FsdKaggle2018, Synthetic, Table, Tau2019
from sedmtl.config.encoder import EncoderFile, EncoderLogMel
from sedmtl.config.reading import load_config, load_config_if_any
from sedmtl.config.schema import Config, EventPart, Features, Mixing, Remix
