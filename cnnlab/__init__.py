"""Convolutional networks in JAX and Flax, from images to predictions with measured uncertainty.

exp = cnnlab.presets.get("digits-lenet5")
trained = cnnlab.train(exp, "runs/lenet5")
report = cnnlab.evaluate("runs/lenet5", mc_samples=50)

`__init__.pyi` lists the public names; each is imported at its first use.
"""

import lazy_loader

from cnnlab.version import VERSION as __version__  # noqa: F401

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
