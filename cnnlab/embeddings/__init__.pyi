from .embed import Embedding, embed
from .extract import extract
from .neighbours import Retrieval, Space, nearest_images
from .project import PROJECTIONS, project
from .quality import knn_accuracy, trustworthiness

__all__ = [
    "PROJECTIONS",
    "Embedding",
    "Retrieval",
    "Space",
    "embed",
    "extract",
    "knn_accuracy",
    "nearest_images",
    "project",
    "trustworthiness",
]
