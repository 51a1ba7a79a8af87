"""Command that publishes a trained model for servers: wals publish --config configs/local.yaml"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from artifacts import checksums, storage
from artifacts import publish as publishing
from artifacts.manifests import MANIFEST, ModelManifest, ServedVersionManifest
from artifacts.paths import Model, join
from artifacts.storage import locks
from configs import cli
from configs.errors import UserError
from serving.errors import UnusableError
from serving.models import versions

_EPILOG = """\
A version is copied to a temporary name, checked against the model's manifest, and renamed: a server, also TensorFlow
Serving, sees all of it or nothing. A model that is the newest version already is not copied again.

examples:
  wals publish --config configs/local.yaml
  wals publish --config configs/local.yaml --model_dir data/model --version 20240131
"""
_SAVED_MODEL = "saved_model/"


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and publish."""
    parser = cli.parser("wals publish", "Make a trained model the newest version.", epilog=_EPILOG)
    parser.add_argument("--model_dir", metavar="DIR", help="the model that trainer.task wrote, local or gs://")
    parser.add_argument("--directory", metavar="DIR", help="directory of NAME/VERSION, local or gs://")
    parser.add_argument("--version", metavar="N", type=int, help="number of the version (default: newest plus 1)")
    args = parser.parse_args(argv)
    settings = cli.settings_from(args, {"model_dir": args.model_dir, "serving.directory": args.directory})
    model_dir = cli.required(settings.model_dir, "model_dir")
    number, new = publish(model_dir, settings.serving.directory, settings.serving.name, args.version)
    path = join(settings.serving.directory, settings.serving.name, str(number))
    print(f"published {path}" if new else f"{path} is this model already")


def publish(model_dir: str, directory: str, name: str, number: int | None = None) -> tuple[int, bool]:
    """Copy a trained model to DIRECTORY/NAME/NUMBER; return the number of the version, and whether it is new.

    number: None is the newest plus 1, and copies nothing if the newest version is this model. Raise UserError if the
    model is not finished or damaged, the number is taken, or the version cannot be written.
    """
    publishing.refuse_wildcards(directory)
    manifest = ModelManifest.read(Model(model_dir).manifest)
    root = join(directory, name)
    with locks.claim(join(root, "publish")):
        paths = versions.paths(directory, name)
        newest = max(paths, default=0)
        if number is None and paths and _is_copy(paths[newest], manifest):
            return newest, False
        chosen = newest + 1 if number is None else number
        if chosen in paths:
            raise UserError(f"{paths[chosen]} exists already, and a version never changes; choose another --version")
        if chosen < 1:
            raise UserError(f"--version {chosen}: versions are numbered from 1")
        _copy(model_dir, manifest, join(root, str(chosen)))
    return chosen, True


def _is_copy(version: str, manifest: ModelManifest) -> bool:
    try:
        served = versions.check(version)
    except UnusableError:
        return False
    return served is not None and served.model == manifest.digest()


def _copy(model_dir: str, manifest: ModelManifest, path: str) -> None:
    """Copy under a temporary name and rename; on gs://, without renames, the graph and the manifest come last."""
    local = not storage.is_remote(path)
    parent, _, number = path.rpartition("/")
    staging = join(parent, f".{number}.partial") if local else path
    described = manifest.all_files()
    files = {name.removeprefix(_SAVED_MODEL): described[name] for name in described if name.startswith(_SAVED_MODEL)}
    try:
        if local:
            storage.remove(staging)
        for name in sorted(files, key=lambda name: (name == versions.GRAPH, name)):
            storage.copy(join(model_dir, _SAVED_MODEL + name), join(staging, name))
            if checksums.describe(join(staging, name)) != files[name]:
                raise UserError(f"{model_dir}/{_SAVED_MODEL}{name} does not match its manifest; train the model again")
        ServedVersionManifest.of(manifest, files).write(join(staging, MANIFEST))
        if local:
            Path(staging).rename(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if local:
            storage.remove(staging)


if __name__ == "__main__":
    sys.exit(cli.run(main))
