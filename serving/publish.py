"""Puts a trained model where servers find it: python -m serving.publish --config configs/local.yaml"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artifacts import locks, manifests
from artifacts.paths import Model, join
from configs import cli
from configs.errors import UserError

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
    from serving.models import versions

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
    import tensorflow as tf

    path = Model(model_dir).manifest
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return manifests.parse(file.read(), "model", path)
    except tf.errors.NotFoundError:
        raise UserError(f"{model_dir} is no finished model (no manifest.json in it); train one first") from None
    except tf.errors.OpError as error:
        raise UserError(f"{path} cannot be read: {error.message}") from error


def _same(version: str, content: dict[str, Any]) -> bool:
    from serving.errors import UnusableError
    from serving.models import versions

    try:
        return versions.check(version).get("model") == manifests.digest(content)
    except UnusableError:
        return False


def _copy(model_dir: str, content: dict[str, Any], to: str) -> None:
    """Beside its place and renamed; on gs://, where nothing can be renamed at once, the graph and the manifest last."""
    import tensorflow as tf

    from serving.models import versions

    local = "://" not in to
    beside = join(to.rpartition("/")[0], f".{to.rpartition('/')[2]}.partial") if local else to
    files, prefix = {}, "saved_model/"
    names = [name.removeprefix(prefix) for name in manifests.all_files(content) if name.startswith(prefix)]
    try:
        if local:
            shutil.rmtree(beside, ignore_errors=True)
        for name in sorted(names, key=lambda name: (name == versions.GRAPH, name)):
            tf.io.gfile.makedirs(join(beside, name).rpartition("/")[0])
            tf.io.gfile.copy(join(model_dir, prefix + name), join(beside, name), overwrite=True)
            files[name] = versions.describe(join(beside, name))
            expected = manifests.all_files(content)[prefix + name]
            if any(files[name][key] != expected[key] for key in files[name]):
                raise UserError(f"{model_dir}/{prefix}{name} does not match its manifest; train the model again")
        kept = {
            key: content[key] for key in ("dataset", "users", "items", "interactions", "cold_start") if key in content
        }
        about = kept | {"model": manifests.digest(content), "files": files}
        with tf.io.gfile.GFile(join(beside, versions.MANIFEST), "wb") as file:
            file.write(manifests.stamp(versions.KIND, about).encode())
        if local:
            Path(beside).rename(to)
    except (tf.errors.OpError, OSError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error.strerror
        raise UserError(f"{to} cannot be written: {reason}") from error
    finally:
        if local:
            shutil.rmtree(beside, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(cli.run(main))
