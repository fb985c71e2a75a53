"""The server's gRPC side: TensorFlow Serving's services over the one data plane."""
