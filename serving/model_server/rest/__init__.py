"""HTTP/1.1 and JSON as TensorFlow Serving speaks them."""
