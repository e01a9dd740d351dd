from .coverage import TextCoverage as TextCoverage
from .encoder import TextEncoder as TextEncoder
from .export import export_model as export_model
from .saved import TextModel as TextModel
from .saved import load_model as load_model
from .saved import save_model as save_model
