"""The embedded model server: TensorFlow Serving's interface for machines that have no package of it."""
