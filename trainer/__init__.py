"""How a network learns: one module per task, networks in `trainer.models`."""
