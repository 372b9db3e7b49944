"""Training: from labelled pictures to a checkpoint. Everything but the arguments needs torch."""
