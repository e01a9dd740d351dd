"""python -m w2v_embed.cli"""

import sys

from . import main

sys.exit(main())
