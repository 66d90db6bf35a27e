"""What TensorBoard's HParams tab shows: a run's configuration beside its scores, one row per run.

The messages are those of TensorBoard's plugin. They stand in an event file of their own, which is replaced when there
is more to say: TensorBoard believes the first message that it finds in a folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

_SUFFIX = ".hparams"
LOSSES = ("GANLoss/gen", "GANLoss/dis")


def write_run(
    folder: str | os.PathLike,
    values: Mapping[str, Any],
    metrics: Sequence[str],
    *,
    first: Iterable[str] = (),
    succeeded: bool | None = None,
) -> None:
    """Tells what a run is.

    Args:
        folder: of the run's event files.
        values: of its fields; None is left out, lists become texts.
        metrics: tags of scalars that columns are made of.
        first: the fields whose columns come first; the others follow, and are hidden at first if they are many.
        succeeded: whether the run has come to its end (True) or has failed (False); None while it runs.
    """
    from tensorboard.plugins.hparams import api_pb2, summary

    plain = {name: _plain(value) for name, value in values.items() if value is not None}
    messages = [_experiment({name: [value] for name, value in plain.items()}, metrics, first)]
    messages.append(summary.session_start_pb(plain))
    if succeeded is not None:
        status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
        messages.append(summary.session_end_pb(status))
    _replace(folder, messages)


def write_sweep(folder: str | os.PathLike, values: Mapping[str, Iterable[Any]], metrics: Sequence[str]) -> None:
    """Tells what a sweep varies, so that its table has these fields alone.

    Args:
        folder: above the runs' folders.
        values: field -> the values that it takes.
        metrics: tags of scalars that columns are made of.
    """
    plain = {name: [_plain(value) for value in found if value is not None] for name, found in values.items()}
    _replace(folder, [_experiment(plain, metrics, plain)])


def _experiment(
    values: Mapping[str, Sequence[bool | float | str]], metrics: Sequence[str], first: Iterable[str]
) -> Any:
    """The message that names the columns."""
    from google.protobuf import struct_pb2
    from tensorboard.plugins.hparams import api_pb2, summary

    infos, first = [], set(first)
    for name, found in values.items():
        kinds = {type(value) for value in found}
        kind, domain = api_pb2.DATA_TYPE_STRING, None
        if kinds == {bool}:
            kind = api_pb2.DATA_TYPE_BOOL
        elif kinds and kinds <= {int, float}:
            kind = api_pb2.DATA_TYPE_FLOAT64
        if len(found) > 1 and kind != api_pb2.DATA_TYPE_FLOAT64:  # of one run: others have other values
            domain = struct_pb2.ListValue()
            for value in sorted(set(found), key=str):
                domain.append(value if kind == api_pb2.DATA_TYPE_BOOL else str(value))
        infos.append(api_pb2.HParamInfo(name=name, type=kind, domain_discrete=domain, differs=name in first))
    columns = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
    return summary.experiment_pb(hparam_infos=infos, metric_infos=columns)


def _plain(value: Any) -> bool | float | str:
    """A value as the plugin takes it: tuples as on the command line."""
    if isinstance(value, (bool, int, float, str)):
        return value
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _replace(folder: str | os.PathLike, messages: Sequence[Any]) -> None:
    """Writes an event file with these messages in place of the one before."""
    old = list(Path(folder).glob(f"*tfevents*{_SUFFIX}"))
    writer = tf.summary.create_file_writer(str(folder), filename_suffix=_SUFFIX)
    with writer.as_default(step=0):
        for message in messages:
            tf.summary.experimental.write_raw_pb(message.SerializeToString(), step=0)
    writer.close()
    for file in old:
        file.unlink(missing_ok=True)
