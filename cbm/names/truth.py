"""Which latents have a name that is known to be right: those that rank the images of one class of a labelled set best."""

from __future__ import annotations

from collections.abc import Sequence

from cbm.metrics.naming import ClassLatents
from cbm.names.names import same_name_key


def truth_pairs(found: ClassLatents, class_names: Sequence[str], vocabulary: Sequence[str], above: float) -> list[tuple[int, int]]:
    """Pairs (latent, index of the class's name in the vocabulary) of the classes that a latent ranks with more than `above`.

    Names are matched as `cbm.names.names.same_name_key` has it: letter case, spaces and hyphens do not matter, nothing else is forgiven.
    """
    position: dict[str, int] = {}
    for index, name in enumerate(vocabulary):
        position.setdefault(same_name_key(name), index)
    return [
        (int(latent), position[same_name_key(name)])
        for latent, precision, name in zip(found.latents, found.average_precision, class_names, strict=True)
        if precision > above and same_name_key(name) in position
    ]
