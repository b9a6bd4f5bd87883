from .acquisition import ACQUISITIONS
from .batch_bald import batch_bald
from .confident import confident_errors
from .cross_validation import cross_validated
from .k_centre import k_centre
from .label_errors import label_errors
from .label_next import label_next

__all__ = [
    "ACQUISITIONS",
    "batch_bald",
    "confident_errors",
    "cross_validated",
    "k_centre",
    "label_errors",
    "label_next",
]
