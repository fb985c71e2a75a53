"""Sends real requests to an exported model in a process that has only TensorFlow, before it may be pushed."""
