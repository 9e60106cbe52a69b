"""Fine-tuning in scikit-learn's manner: ``fit``, ``predict``, ``score``, in ``Pipeline`` and ``GridSearchCV`` too."""

from myna.estimators.readers import TextClassifier, TextRegressor, TokenTagger
from myna.estimators.writers import Summarizer, Translator

__all__ = ["Summarizer", "TextClassifier", "TextRegressor", "TokenTagger", "Translator"]
