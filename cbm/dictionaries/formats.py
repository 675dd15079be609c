"""Which library wrote a sparse autoencoder, told by its files."""

from __future__ import annotations

from pathlib import Path

from cbm.core.errors import InvalidInputError
from cbm.dictionaries import saelens, state_dicts
from cbm.dictionaries.published import Published


def read_published(path: Path) -> Published:
    """The dictionary in a folder or file of a format that is told by its files.

    Raises:
        InvalidInputError: it is none of the formats, or does what this library cannot do.
        NotFoundError: a file is missing.
        CorruptArtifactError: the files cannot be read or do not fit each other.
    """
    path = Path(path)
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist; give the folder or file of a sparse autoencoder.")
    if path.is_file() and path.name in (saelens.CONFIG_FILE, saelens.WEIGHTS_FILE, "sae.safetensors", "ae.pt", "config.json"):
        path = path.parent
    for holds, read in (
        (saelens.WEIGHTS_FILE, saelens.read_saelens),
        ("sae.safetensors", state_dicts.read_sparsify),
        ("ae.pt", state_dicts.read_dictionary_learning),
    ):
        if (path / holds).is_file():
            return read(path)
    if path.is_file() and path.suffix in (".pt", ".pth", ".ckpt"):
        return state_dicts.read_tied_bias(path)
    raise InvalidInputError(
        f"{path} is no sparse autoencoder that can be read. These are: a folder of SAELens (cfg.json, sae_weights.safetensors), "
        "dictionary_learning (config.json, ae.pt) or sparsify (cfg.json, sae.safetensors), and a .pt file of DN-CBM."
    )
