"""From an exported model to answers: signatures, the folders a server reads, and what may be in them."""
