from .embed import Embedding, embed
from .extract import extract
from .neighbours import Retrieval, Space, nearest_images
from .project import PROJECTIONS, project
from .quality import knn_accuracy, trustworthiness
from .style import content, gram_matrix, sketch, style

__all__ = [
    "PROJECTIONS",
    "Embedding",
    "Retrieval",
    "Space",
    "content",
    "embed",
    "extract",
    "gram_matrix",
    "knn_accuracy",
    "nearest_images",
    "project",
    "sketch",
    "style",
    "trustworthiness",
]
