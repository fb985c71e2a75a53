"""Reads EuroSAT's layout, a folder per class of JPEG chips, or makes a synthetic sample of it."""

from __future__ import annotations

from applications.formats.image_folder import ImageFolder


class Landcover(ImageFolder):
    """Chips of `<path>/<class>/*.jpg`."""

    def synthesize(self, out_dir: str, *, items: int, seed: int) -> None:
        """Writes synthetic chips and their `truth.json`; see `write_world` for what it raises."""
        from applications.formats.synthetic_images import write_world
        from applications.satellite.landcover.world import LandcoverWorld

        write_world(self.application, LandcoverWorld(), out_dir, items=items, seed=seed)
