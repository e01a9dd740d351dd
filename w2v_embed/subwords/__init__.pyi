from .fit import fit_subwords as fit_subwords
from .model import SubwordModel as SubwordModel
