from .embeddings import compare_embeddings as compare_embeddings
from .encoder import fit_encoder as fit_encoder
from .labelled import label_sets as label_sets
from .labelled import read_labelled as read_labelled
from .labelled import split_rows as split_rows
from .trained import Trained as Trained
from .trained import train as train
