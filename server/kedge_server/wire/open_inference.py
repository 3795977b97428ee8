"""The Open Inference Protocol, version 2, and the part of Triton's service that clients and load generators need."""

from collections.abc import AsyncIterator

from kedge_bundle.signature import Violation
from kedge_server.admin import Admin
from kedge_server.errors import InvalidInput, ModelNotFound
from kedge_server.labels import shown
from kedge_server.metrics import Metrics
from kedge_server.pb.open_inference_pb2 import (
    ModelConfigRequest,
    ModelConfigResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStatisticsRequest,
    ModelStatisticsResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    RepositoryModelLoadRequest,
    RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from kedge_server.pipeline import Answer, Pipeline
from kedge_server.served_model import ServedModel
from kedge_server.wire.answer_limits import AnswerLimits
from kedge_server.wire.infer_call import InferCall, in_stream
from kedge_server.wire.infer_header import model_name, version_choice
from kedge_server.wire.infer_stream import Answered, InferStream
from kedge_server.wire.model_description import configuration, index_entry, metadata, statistics
from kedge_server.wire.services import Answers, Raw, RawStream, Refused, Unary
from kedge_server.wire.status import Context, as_serving_error
from kedge_server.wire.stream_room import StreamRooms
from kedge_server.wire.usual_requests import UsualRequests

SERVER_NAME = "kedge"

EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics")
"""Triton's names for what is served beyond the protocol: raw tensors, ModelConfig, ModelStatistics."""

LOADING_EXTENSION = "model_repository"
"""And for loading and unloading by request."""

_NO_SHARED_MEMORY = Refused("shared memory is not served: send the values in raw_input_contents")


class OpenInferenceService:
    """Everything that is answered, and a sentence for everything that is not.

    Args:
        pipeline: the way to an answer, and the table of models.
        metrics: what ModelStatistics reports from.
        admin: who loads and unloads.
        server_version: what ServerMetadata says.
        max_rows: rows of one request at most.
        limits: of answers.
    """

    def __init__(  # noqa: PLR0913 (what a service is made of, by name)
        self,
        pipeline: Pipeline,
        metrics: Metrics,
        admin: Admin,
        server_version: str,
        *,
        max_rows: int,
        limits: AnswerLimits,
    ) -> None:
        self._pipeline = pipeline
        self._models = pipeline.models
        self._metrics = metrics
        self._admin = admin
        self._server_version = server_version
        self._max_rows = max_rows
        self._limits = limits
        self._rooms = StreamRooms(limits.unread_bytes)
        self._usual = UsualRequests()

    @property
    def answers(self) -> Answers:
        """The table of this service."""
        return {
            "ServerLive": Unary(self.server_live),
            "ServerReady": Unary(self.server_ready),
            "ModelReady": Unary(self.model_ready),
            "ServerMetadata": Unary(self.server_metadata),
            "ModelMetadata": Unary(self.model_metadata),
            "ModelInfer": Raw(self.model_infer),
            "ModelConfig": Unary(self.model_config),
            "ModelStatistics": Unary(self.model_statistics),
            "RepositoryIndex": Unary(self.repository_index),
            "ModelStreamInfer": RawStream(self.model_stream_infer),
            "RepositoryModelLoad": Unary(self.repository_model_load),
            "RepositoryModelUnload": Unary(self.repository_model_unload),
            "SystemSharedMemoryStatus": _NO_SHARED_MEMORY,
            "SystemSharedMemoryRegister": _NO_SHARED_MEMORY,
            "SystemSharedMemoryUnregister": _NO_SHARED_MEMORY,
            "CudaSharedMemoryStatus": _NO_SHARED_MEMORY,
            "CudaSharedMemoryRegister": _NO_SHARED_MEMORY,
            "CudaSharedMemoryUnregister": _NO_SHARED_MEMORY,
            "TraceSetting": Refused("tracing is not served: /metrics has the time of every phase"),
            "LogSettings": Refused("the log is set where the server starts: --log-level and --log-format"),
        }

    async def server_live(self, _request: ServerLiveRequest, _context: Context) -> ServerLiveResponse:
        """Live: it answers."""
        return ServerLiveResponse(live=True)

    async def server_ready(self, _request: ServerReadyRequest, _context: Context) -> ServerReadyResponse:
        """Ready: it should get traffic."""
        return ServerReadyResponse(ready=self._models.is_ready)

    async def model_ready(self, request: ModelReadyRequest, _context: Context) -> ModelReadyResponse:
        """Whether a version answers; of a name alone, whether any of its versions does. Unknown ones are NOT_FOUND."""
        known = self._versions(request.name, request.version)
        return ModelReadyResponse(ready=any(self._models.is_serving(model) for model in known))

    async def server_metadata(self, _request: ServerMetadataRequest, _context: Context) -> ServerMetadataResponse:
        """Which server this is, and what it can do beyond the protocol."""
        extensions = (*EXTENSIONS, LOADING_EXTENSION) if self._admin.is_allowed else EXTENSIONS
        return ServerMetadataResponse(name=SERVER_NAME, version=self._server_version, extensions=extensions)

    async def model_metadata(self, request: ModelMetadataRequest, _context: Context) -> ModelMetadataResponse:
        """The signature of a version that answers."""
        return metadata(self._find(request.name, request.version), self._models)

    async def model_infer(self, data: bytes, context: Context) -> bytes:
        """Answer a ModelInferRequest."""
        if (turn := self._pipeline.turn()) is not None:
            await turn
        call = InferCall(data, context.time_remaining(), self._usual)
        encode = self._limits.limited(call.encode, context)
        response, trailing = await self._pipeline.predict("open-inference", call.decode, encode, len(data))
        if trailing:
            context.set_trailing_metadata(trailing)
        self._limits.add(response, context)
        return response

    async def model_stream_infer(self, _requests: AsyncIterator[bytes], context: Context) -> None:
        """Answer ModelInferRequests as they come; see `infer_stream.py`."""

        async def answer(data: bytes) -> Answered:
            call = InferCall(data, context.time_remaining(), self._usual)
            encode = self._limits.limited(lambda answer: (in_stream(*call.encode(answer)), ()), None)

            def encode_here(answer: Answer) -> Answered:
                data, _ = encode(answer)
                return Answered(data, answer.is_immediate)

            try:
                return await self._pipeline.predict("open-inference", call.decode, encode_here, len(data))
            except Exception as error:  # noqa: BLE001 (the answer to this request; the stream goes on)
                return Answered(call.refused(as_serving_error("ModelStreamInfer", error)), is_immediate=False)

        await InferStream(answer, self._models, context, self._rooms).run()

    async def model_config(self, request: ModelConfigRequest, _context: Context) -> ModelConfigResponse:
        """The configuration of a version that answers."""
        return ModelConfigResponse(config=configuration(self._find(request.name, request.version), self._max_rows))

    async def model_statistics(self, request: ModelStatisticsRequest, _context: Context) -> ModelStatisticsResponse:
        """What was asked of a version, of every version of a model, or of all models."""
        known = self._versions(request.name, request.version) if request.name else self._models.entries()
        return ModelStatisticsResponse(
            model_stats=[
                statistics(model, self._metrics.statistics(model.name, model.version))
                for model in known
                if model.state == "ready"
            ]
        )

    async def repository_index(self, request: RepositoryIndexRequest, _context: Context) -> RepositoryIndexResponse:
        """Every version that was found, with its state; on request only those that answer."""
        known = [model for model in self._models.entries() if model.state == "ready" or not request.ready]
        return RepositoryIndexResponse(models=[index_entry(model) for model in known])

    async def repository_model_load(
        self, request: RepositoryModelLoadRequest, _context: Context
    ) -> RepositoryModelLoadResponse:
        """Serve a model's versions as the disk and the policy have them; answered once they are loaded."""
        self._admin.check_allowed()
        await self._admin.load(_repository_model(request, ()))
        return RepositoryModelLoadResponse()

    async def repository_model_unload(
        self, request: RepositoryModelUnloadRequest, _context: Context
    ) -> RepositoryModelUnloadResponse:
        """Drain and unload every version of a model; answered once they are gone."""
        self._admin.check_allowed()
        await self._admin.unload(_repository_model(request, ("unload_dependents",)))  # no model here has any
        return RepositoryModelUnloadResponse()

    def _find(self, name: str, version: str) -> ServedModel:
        return self._models.find(model_name(name), *version_choice(name, version))

    def _versions(self, name: str, version: str) -> list[ServedModel]:
        """The known versions that a request is about.

        Raises:
            ModelNotFound: there is none.
            NotReady: a label is for a version that is not ready.
        """
        known, (number, label) = self._models.versions(model_name(name)), version_choice(name, version)
        if label is not None or not known:
            return [self._models.find(name, number, label)]
        chosen = [model for model in known if number in (None, model.version)]
        if not chosen:
            there = ", ".join(str(model.version) for model in known)
            raise ModelNotFound(f"model '{name}' has no version {number}; it has {there}")
        return chosen


def _repository_model(
    request: RepositoryModelLoadRequest | RepositoryModelUnloadRequest, accepted: tuple[str, ...]
) -> str:
    """The name of the model that is to be loaded or unloaded.

    Raises:
        InvalidInput: it names none, another repository, or parameters that would be without effect.
    """
    violations = [
        Violation(f"parameters.{shown(name)}", f"parameter '{shown(name)}' is not served: a bundle is served as it is")
        for name in request.parameters
        if name not in accepted
    ]
    if request.repository_name:
        violations.append(Violation("repository_name", "this server has one repository; leave repository_name empty"))
    if violations:
        raise InvalidInput(violations)
    return model_name(request.model_name)
