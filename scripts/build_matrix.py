"""`w2v-embed build` as a script: python scripts/build_matrix.py VECTORS WORD_INDEX -o OUT."""

import sys

from w2v_embed.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "build")
    sys.exit(main())
