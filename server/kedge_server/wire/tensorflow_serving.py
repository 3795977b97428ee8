"""TensorFlow Serving's PredictionService and ModelService over the one pipeline.

Source: tensorflow_serving/apis/*.proto.
"""

from kedge_bundle.signature import TensorSpec, Violation
from kedge_server.admin import Admin
from kedge_server.errors import InvalidInput, ModelNotFound
from kedge_server.models import ModelTable
from kedge_server.pb.tensor_pb2 import SignatureDef, TensorInfo, TensorShapeProto
from kedge_server.pb.tensorflow_serving_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelVersionStatus,
    ReloadConfigRequest,
    ReloadConfigResponse,
    SignatureDefMap,
    StatusProto,
)
from kedge_server.pipeline import Pipeline
from kedge_server.served_model import ServedModel
from kedge_server.wire.answer_limits import AnswerLimits
from kedge_server.wire.codec.tensor_proto import DATA_TYPES
from kedge_server.wire.predict_call import (
    SIGNATURE,
    PredictCall,
    answering_spec,
    check_spec,
    version_label,
    version_number,
)
from kedge_server.wire.reload_config import model_requests
from kedge_server.wire.services import Answers, Raw, Refused, Unary
from kedge_server.wire.status import Context
from kedge_server.wire.usual_requests import UsualRequests

_SIGNATURE_DEF = "signature_def"
_PREDICT_METHOD = "tensorflow/serving/predict"
_NO_EXAMPLES = "Kedge reads no tf.Example; send tensors with Predict"
_STATES = {
    "loading": ModelVersionStatus.LOADING,
    "ready": ModelVersionStatus.AVAILABLE,
    "unloading": ModelVersionStatus.UNLOADING,
    "failed": ModelVersionStatus.END,
}


class PredictionService:
    """Predict and GetModelMetadata.

    Args:
        pipeline: the way to an answer, and the table of models.
        limits: of answers.
    """

    def __init__(self, pipeline: Pipeline, limits: AnswerLimits) -> None:
        self._pipeline = pipeline
        self._limits = limits
        self._usual = UsualRequests()

    @property
    def answers(self) -> Answers:
        """The table of this service."""
        return {
            "Predict": Raw(self.predict),
            "GetModelMetadata": Unary(self.get_model_metadata),
            "Classify": Refused(f"Classify is not served: {_NO_EXAMPLES}"),
            "Regress": Refused(f"Regress is not served: {_NO_EXAMPLES}"),
            "MultiInference": Refused(f"MultiInference is not served: {_NO_EXAMPLES}"),
        }

    async def predict(self, data: bytes, context: Context) -> bytes:
        """Answer a PredictRequest."""
        if (turn := self._pipeline.turn()) is not None:
            await turn
        call = PredictCall(data, context.time_remaining(), self._usual)
        encode = self._limits.limited(call.encode, context)
        response, metadata = await self._pipeline.predict("tensorflow-serving", call.decode, encode, len(data))
        if metadata:
            context.set_trailing_metadata(metadata)
        self._limits.add(response, context)
        return response

    async def get_model_metadata(self, request: GetModelMetadataRequest, _context: Context) -> GetModelMetadataResponse:
        """The model's one signature, with its names, dtypes and shapes."""
        spec = request.model_spec
        check_spec(spec)
        _check_metadata_fields(request)
        model = self._pipeline.models.find(spec.name, version_number(spec), version_label(spec))
        response = GetModelMetadataResponse(model_spec=answering_spec(model.name, model.version))
        response.model_spec.ClearField("signature_name")  # the answer is about every signature
        response.metadata[_SIGNATURE_DEF].Pack(SignatureDefMap(signature_def={SIGNATURE: _signature_def(model)}))
        return response


class ModelService:
    """GetModelStatus and HandleReloadConfigRequest.

    Args:
        models: whose states are told.
        admin: who loads and unloads.
    """

    def __init__(self, models: ModelTable, admin: Admin) -> None:
        self._models = models
        self._admin = admin

    @property
    def answers(self) -> Answers:
        """The table of this service."""
        return {
            "GetModelStatus": Unary(self.get_model_status),
            "HandleReloadConfigRequest": Unary(self.handle_reload_config_request),
        }

    async def get_model_status(self, request: GetModelStatusRequest, _context: Context) -> GetModelStatusResponse:
        """The state of every version of a model, latest first, or of the one that is asked for."""
        spec = request.model_spec
        check_spec(spec)
        name, wanted, label = spec.name, version_number(spec), version_label(spec)
        known = self._models.versions(name)
        if not known or label is not None:
            wanted = self._models.find(name, wanted, label).version
        chosen = [model for model in reversed(known) if wanted in (None, model.version)]
        if not chosen:
            there = ", ".join(str(model.version) for model in known)
            raise ModelNotFound(f"model '{name}' has no version {wanted}; it has {there}")
        return GetModelStatusResponse(model_version_status=[_version_status(model) for model in chosen])

    async def handle_reload_config_request(
        self, request: ReloadConfigRequest, _context: Context
    ) -> ReloadConfigResponse:
        """Serve the models of the list and no others; answered once their versions are loaded."""
        self._admin.check_allowed()
        await self._admin.serve_only(model_requests(request))
        return ReloadConfigResponse(status=StatusProto(error_code=StatusProto.OK))


def _check_metadata_fields(request: GetModelMetadataRequest) -> None:
    asked = list(request.metadata_field)
    unknown = [field for field in asked if field != _SIGNATURE_DEF]
    if not asked or unknown:
        came = "none" if not asked else ", ".join(f"'{field}'" for field in unknown)
        raise InvalidInput([Violation("metadata_field", f"metadata_field: expected '{_SIGNATURE_DEF}', got {came}")])


def _signature_def(model: ServedModel) -> SignatureDef:
    artifact = model.loaded.artifact
    return SignatureDef(
        inputs={spec.name: _tensor_info(spec, artifact.inputs[spec.name]) for spec in model.signature.inputs},
        outputs={spec.name: _tensor_info(spec, artifact.outputs[spec.name]) for spec in model.signature.outputs},
        method_name=_PREDICT_METHOD,
    )


def _tensor_info(spec: TensorSpec, name: str) -> TensorInfo:
    sizes = [TensorShapeProto.Dim(size=-1 if size is None else size) for size in spec.shape]
    return TensorInfo(name=name, dtype=DATA_TYPES[spec.dtype], tensor_shape=TensorShapeProto(dim=sizes))


def _version_status(model: ServedModel) -> ModelVersionStatus:
    code = StatusProto.INTERNAL if model.state == "failed" else StatusProto.OK
    message = model.reason if model.state == "failed" else ""
    return ModelVersionStatus(
        version=model.version,
        state=_STATES[model.state],
        status=StatusProto(error_code=code, error_message=message),
    )
