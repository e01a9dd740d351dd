"""`w2v-embed train` and `w2v-embed predict`, from a checkout.

python scripts/train_classifier.py train data/titles.tsv data/vectors.txt.bz2 --split jieba -o classifier.keras
python scripts/train_classifier.py train data/titles.tsv data/vectors.txt.bz2 --split jieba --compare --examples 500 2000
python scripts/train_classifier.py predict classifier.keras new_lines.txt
"""

import sys

from w2v_embed.cli import main

if __name__ == "__main__":
    sys.exit(main())
