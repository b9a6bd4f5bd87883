"""Convolutional networks in JAX and Flax: from images to an evaluated checkpoint that says how sure it is.

exp = cnnlab.presets.get("digits-lenet5")
trained = cnnlab.train(exp, "runs/lenet5")
report = cnnlab.evaluate("runs/lenet5", mc_samples=50)

The public names are those of `__init__.pyi`; each is imported when it is first used.
"""

import lazy_loader

from cnnlab.version import VERSION as __version__  # noqa: F401

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
