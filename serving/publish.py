"""Puts a trained model where servers find it: python -m serving.publish --config configs/local.yaml"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artifacts import checksums, locks, manifests, storage
from artifacts.manifests import MANIFEST
from artifacts.paths import Model, join
from configs import cli
from configs.errors import UserError
from serving.errors import UnusableError
from serving.models import versions

_EPILOG = """\
A version is copied beside its place, checked against the model's manifest, and renamed: servers, TensorFlow Serving
among them, see it whole or not at all. A model that is the newest version already is not copied again.

examples:
  python -m serving.publish --config configs/local.yaml
  python -m serving.publish --config configs/local.yaml --model_dir data/model --version 20240131
"""
_KEPT = ("dataset", "users", "items", "interactions", "cold_start")  # of the model's manifest


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and publishes.

    Raises:
        UserError: whatever the user can put right.
    """
    parser = cli.parser("python -m serving.publish", "Makes a trained model the newest version.", epilog=_EPILOG)
    parser.add_argument("--model_dir", metavar="DIR", help="what trainer.task wrote, local or gs://")
    parser.add_argument("--directory", metavar="DIR", help="holds NAME/VERSION, local or gs://")
    parser.add_argument("--version", metavar="N", type=int, help="its number (default: one more than the newest)")
    args = parser.parse_args(argv)
    settings = cli.settings_from(args, {"model_dir": args.model_dir, "serving.directory": args.directory})
    model_dir = cli.required(settings.model_dir, "model_dir")
    cli.import_tensorflow()
    number, new = publish(model_dir, settings.serving.directory, settings.serving.name, args.version)
    where = join(settings.serving.directory, settings.serving.name, str(number))
    print(f"published {where}" if new else f"{where} is this model already")


def publish(model_dir: str, directory: str, name: str, number: int | None = None) -> tuple[int, bool]:
    """Copies a trained model to DIRECTORY/NAME/NUMBER.

    Args:
        number: of the version; None is one more than the newest, and nothing is copied where that is this model.

    Returns:
        The version's number, and whether it is new.

    Raises:
        UserError: no whole model, the number is taken, or its place cannot be written.
    """
    content = _read(model_dir)
    root = join(directory, name)
    with locks.claim(join(root, "publish")):
        found = versions.numbers(directory, name)
        newest = max(found, default=0)
        if number is None and found and _same(found[newest], content):
            return newest, False
        chosen = newest + 1 if number is None else number
        if chosen in found:
            raise UserError(f"{found[chosen]} is there already; a version never changes, take another --version")
        if chosen < 1:
            raise UserError(f"--version {chosen}: versions are numbered from 1")
        _copy(model_dir, content, join(root, str(chosen)))
    return chosen, True


def _read(model_dir: str) -> dict[str, Any]:
    path = Model(model_dir).manifest
    try:
        return manifests.parse(storage.read_bytes(path), "model", path)
    except FileNotFoundError:
        raise UserError(f"{model_dir} is no finished model (no manifest.json in it); train one first") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _same(version: str, content: dict[str, Any]) -> bool:
    try:
        return versions.check(version).get("model") == manifests.digest(content)
    except UnusableError:
        return False


def _copy(model_dir: str, content: dict[str, Any], to: str) -> None:
    """Copy next to the version's place and rename; on gs://, without renames, the graph and the manifest come last."""
    local = not storage.is_remote(to)
    beside = join(to.rpartition("/")[0], f".{to.rpartition('/')[2]}.partial") if local else to
    described, prefix = manifests.described(content), "saved_model/"
    files = {name.removeprefix(prefix): file for name, file in described.items() if name.startswith(prefix)}
    try:
        if local:
            storage.remove(beside)
        for name in sorted(files, key=lambda name: (name == versions.GRAPH, name)):
            storage.copy(join(model_dir, prefix + name), join(beside, name))
            if checksums.describe(join(beside, name)) != files[name]:
                raise UserError(f"{model_dir}/{prefix}{name} does not match its manifest; train the model again")
        about = {key: content[key] for key in _KEPT if key in content}
        about |= {
            "model": manifests.digest(content),
            "files": {name: file.model_dump() for name, file in files.items()},
        }
        storage.write_bytes(join(beside, MANIFEST), manifests.stamp(versions.KIND, about).encode())
        if local:
            Path(beside).rename(to)
    except OSError as error:
        raise UserError(f"{to} cannot be written: {error.strerror or error}") from error
    finally:
        if local:
            storage.remove(beside)


if __name__ == "__main__":
    sys.exit(cli.run(main))
