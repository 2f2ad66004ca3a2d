"""The four functions by name."""

from verify.bench.layer_norm import LAYER_NORM
from verify.bench.network import NETWORK
from verify.bench.ridge import RIDGE
from verify.bench.softmax import SOFTMAX

FUNCTIONS = {f.name: f for f in (RIDGE, SOFTMAX, LAYER_NORM, NETWORK)}
