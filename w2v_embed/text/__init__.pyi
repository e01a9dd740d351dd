from .coverage import TextCoverage as TextCoverage
from .encoder import TextEncoder as TextEncoder
