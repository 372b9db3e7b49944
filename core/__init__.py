"""segkit's engine: contract, images, inference, model and graph. See docs/architecture.md for the allowed imports."""
