"""Material of debris, from photographs."""
