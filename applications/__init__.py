"""What Earthloop predicts: one folder per application, found by its place in the tree."""
