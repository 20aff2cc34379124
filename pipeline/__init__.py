"""What is done with images: networks, training, evaluation, inference, results."""
