from ..corpus import merge_counts as merge_counts
from ..engines import ProcessPool as ProcessPool
from ..engines import RayExecutor as RayExecutor
from .batches import EncodeBatches as EncodeBatches
from .shards import encode_shards as encode_shards
