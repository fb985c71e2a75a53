"""Reads TrashNet's layout, a folder per material of photographs, or makes a synthetic sample of it."""

from __future__ import annotations

from applications.formats.image_folder import ImageFolder


class DebrisMaterial(ImageFolder):
    """Photographs of `<path>/<material>/*.jpg`."""

    def synthesize(self, out_dir: str, *, items: int, seed: int) -> None:
        """Writes synthetic photographs and their `truth.json`; see `write_world` for what it raises."""
        from applications.formats.synthetic_images import write_world
        from applications.ocean.debris_material.world import DebrisWorld

        write_world(self.application, DebrisWorld(), out_dir, items=items, seed=seed)
