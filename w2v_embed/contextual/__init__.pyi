from .encoder import ContextualEncoder as ContextualEncoder
from .pooling import Projection as Projection
from .pooling import cosine as cosine
from .pooling import fit_pca as fit_pca
from .pooling import fit_whitening as fit_whitening
from .pooling import keras_bert_layers as keras_bert_layers
