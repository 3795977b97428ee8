"""matplotlib keeps its list of fonts where the tests may write; it looks for the place when it is imported."""

import os
import tempfile

_SCRATCH = tempfile.TemporaryDirectory(prefix="kedge-matplotlib-")
os.environ.setdefault("MPLCONFIGDIR", _SCRATCH.name)
