"""python -m w2v_embed.cli"""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
