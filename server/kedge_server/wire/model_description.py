"""A model in the Open Inference Protocol's and in Triton's terms: metadata, configuration, statistics, index entry."""

from kedge_bundle.signature import TensorSpec
from kedge_server.models import ModelTable
from kedge_server.pb import model_config_pb2
from kedge_server.pb.model_config_pb2 import ModelConfig, ModelInput, ModelOutput
from kedge_server.pb.open_inference_pb2 import (
    InferStatistics,
    ModelMetadataResponse,
    ModelStatistics,
    RepositoryIndexResponse,
    StatisticDuration,
)
from kedge_server.series import Duration
from kedge_server.series import ModelStatistics as Statistics
from kedge_server.served_model import ServedModel
from kedge_server.wire.codec.open_inference import DATATYPES

_PLATFORMS = {"onnx": "onnxruntime_onnx", "saved_model": "tensorflow_savedmodel", "tflite": "tflite"}
"""Triton's words where it has one for a format."""

_BACKENDS = {"onnx": "onnxruntime", "saved_model": "tensorflow", "tflite": "litert"}
_INDEX_STATES = {"ready": "READY", "loading": "LOADING", "unloading": "UNLOADING", "failed": "UNAVAILABLE"}


def metadata(model: ServedModel, models: ModelTable) -> ModelMetadataResponse:
    """Names, datatypes and shapes; the versions that answer; what the model is and where it runs."""
    artifact, manifest = model.loaded.artifact, model.manifest
    return ModelMetadataResponse(
        name=model.name,
        versions=[str(each.version) for each in models.versions(model.name) if each.state == "ready"],
        platform=_PLATFORMS[artifact.format],
        inputs=[_tensor_metadata(spec) for spec in model.signature.inputs],
        outputs=[_tensor_metadata(spec) for spec in model.signature.outputs],
        properties={
            "format": artifact.name,
            "device": model.device,
            "sha256": artifact.sha256,
            "keras_version": manifest.source.keras_version,
        },
    )


def configuration(model: ServedModel, max_rows: int) -> ModelConfig:
    """What load generators read.

    Triton's `dims` leave the batch axis out where `max_batch_size` is above 0, so it is only where every input and
    output has a free first axis; elsewhere it is 0 and `dims` are whole shapes.
    """
    signature, artifact = model.signature, model.loaded.artifact
    is_batched = all(spec.shape and spec.shape[0] is None for spec in (*signature.inputs, *signature.outputs))
    skipped = 1 if is_batched else 0
    config = ModelConfig(
        name=model.name,
        platform=_PLATFORMS[artifact.format],
        backend=_BACKENDS[artifact.format],
        default_model_filename=artifact.path,
        max_batch_size=max_rows if is_batched else 0,
        input=[
            ModelInput(name=spec.name, data_type=_data_type(spec), dims=_sizes(spec)[skipped:])
            for spec in signature.inputs
        ],
        output=[
            ModelOutput(name=spec.name, data_type=_data_type(spec), dims=_sizes(spec)[skipped:])
            for spec in signature.outputs
        ],
    )
    if is_batched:
        config.dynamic_batching.SetInParent()
    config.model_transaction_policy.decoupled = False
    config.response_cache.enable = False
    return config


def statistics(model: ServedModel, sums: Statistics) -> ModelStatistics:
    """The sums since the start: rows, batches and durations."""
    return ModelStatistics(
        name=model.name,
        version=str(model.version),
        last_inference=sums.last_inference_ms,
        inference_count=sums.inference_count,
        execution_count=sums.execution_count,
        inference_stats=InferStatistics(
            success=_duration(sums.success),
            fail=_duration(sums.fail),
            queue=_duration(sums.queue),
            compute_input=_duration(sums.compute_input),
            compute_infer=_duration(sums.compute_infer),
            compute_output=_duration(sums.compute_output),
            cache_hit=StatisticDuration(),
            cache_miss=StatisticDuration(),
        ),
    )


def index_entry(model: ServedModel) -> RepositoryIndexResponse.ModelIndex:
    """One line of the repository's index."""
    return RepositoryIndexResponse.ModelIndex(
        name=model.name, version=str(model.version), state=_INDEX_STATES[model.state], reason=model.reason
    )


def _tensor_metadata(spec: TensorSpec) -> ModelMetadataResponse.TensorMetadata:
    return ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=DATATYPES[spec.dtype], shape=_sizes(spec))


def _data_type(spec: TensorSpec) -> model_config_pb2.DataType.ValueType:
    word = "STRING" if spec.dtype == "string" else DATATYPES[spec.dtype]
    return model_config_pb2.DataType.Value(f"TYPE_{word}")


def _sizes(spec: TensorSpec) -> list[int]:
    return [-1 if size is None else size for size in spec.shape]


def _duration(duration: Duration) -> StatisticDuration:
    return StatisticDuration(count=duration.count, ns=duration.ns)
