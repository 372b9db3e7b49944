"""Where the figures of a training go: a file always; TensorBoard, MLflow and Weights & Biases where they are wanted."""

from segkit.core.training.loggers.choice import choose_loggers

__all__ = ["choose_loggers"]
