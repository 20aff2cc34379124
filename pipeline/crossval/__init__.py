"""K-fold cross-validation as one command: a MONAI training and an evaluation a fold, then all of them together."""
