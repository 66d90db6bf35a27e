"""The table of TensorBoard's HParams tab, made by TensorBoard itself."""

from __future__ import annotations


def hparams_table(folder) -> tuple[list[str], list[str], list[tuple[int, dict, dict]]]:
    """What the HParams tab of `tensorboard --logdir folder` shows: (columns, metrics, [(status, values, metrics)])."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    multiplexer = EventMultiplexer(tensor_size_guidance={"scalars": 100}).AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(TBContext(data_provider=provider))
    request = RequestContext()
    known = context.hparams_metadata(request, "x")
    shown = context.experiment_from_metadata(request, "x", True, known, [])
    asked = api_pb2.ListSessionGroupsRequest(
        experiment_name="x",
        allowed_statuses=[0, 1, 2, 3],
        start_index=0,
        slice_size=100,
        col_params=[api_pb2.ColParams(hparam=info.name) for info in shown.hparam_infos]
        + [api_pb2.ColParams(metric=info.name) for info in shown.metric_infos],
    )
    groups = list_session_groups.Handler(request, context, "x", asked).run().session_groups
    rows = [
        (
            group.sessions[0].status,
            {name: value.string_value or value.number_value for name, value in group.hparams.items()},
            {value.name.tag: value.value for value in group.metric_values},
        )
        for group in groups
    ]
    assert all(len(group.sessions) == 1 for group in groups)
    return [info.name for info in shown.hparam_infos], [info.name.tag for info in shown.metric_infos], rows
