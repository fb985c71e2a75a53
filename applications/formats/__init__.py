"""File formats that many sources share, their refusals, and what makes synthetic samples of them."""
