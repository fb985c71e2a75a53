"""What becomes of raw features before a network sees them: one module per modality, the same graph everywhere."""
