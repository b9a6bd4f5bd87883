"""What units respond to: filters, activations, the patches that excite them most, and images made for them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
