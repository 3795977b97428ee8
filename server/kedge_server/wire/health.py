"""grpc.health.v1 (https://github.com/grpc/grpc/blob/master/doc/health-checking.md), driven by the table of models.

Service names: empty or a gRPC service's own name is the server; `<model>` is a model, served by any of its versions;
`<model>/<version>` is one version.
"""

from collections.abc import AsyncIterator, Iterable

from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)

from kedge_server.errors import ModelNotFound
from kedge_server.models import ModelTable
from kedge_server.wire.services import Answers, Stream, Unary
from kedge_server.wire.status import Context

_SERVING = HealthCheckResponse.SERVING
_NOT_SERVING = HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


class HealthService:
    """Answers probes.

    Args:
        models: whose readiness is told.
        services: the gRPC services of this server; their names stand for the server as a whole.
    """

    def __init__(self, models: ModelTable, services: Iterable[ServiceDescriptor]) -> None:
        self._models = models
        self._server_names = {"", *(service.full_name for service in services)}

    @property
    def answers(self) -> Answers:
        """The table of this service."""
        return {"Check": Unary(self.check), "List": Unary(self.list), "Watch": Stream(self.watch)}

    async def check(self, request: HealthCheckRequest, _context: Context) -> HealthCheckResponse:
        """The status now; an unknown service is NOT_FOUND."""
        status = self._status(request.service)
        if status == _SERVICE_UNKNOWN:
            raise ModelNotFound(f"no model and no service '{request.service}'; '' is the server, '<model>' a model")
        return HealthCheckResponse(status=status)

    async def list(self, _request: HealthListRequest, _context: Context) -> HealthListResponse:
        """The status of the server, of every model and of every version."""
        models = self._models.entries()
        names = {*self._server_names, *(model.name for model in models), *(f"{m.name}/{m.version}" for m in models)}
        return HealthListResponse(statuses={name: HealthCheckResponse(status=self._status(name)) for name in names})

    async def watch(self, request: HealthCheckRequest, _context: Context) -> AsyncIterator[HealthCheckResponse]:
        """The status now and at every change. Ends when the server drains: a watcher must not hold the drain up."""
        last = None
        while True:
            generation, is_last = self._models.generation, self._models.is_draining
            status = self._status(request.service)
            if status != last:
                yield HealthCheckResponse(status=status)
                last = status
            if is_last:
                return
            await self._models.changed(generation)

    def _status(self, service: str) -> HealthCheckResponse.ServingStatus.ValueType:
        if service in self._server_names:
            return _SERVING if self._models.is_ready else _NOT_SERVING
        name, _, version = service.partition("/")
        known = [model for model in self._models.versions(name) if not version or str(model.version) == version]
        if not known or service.endswith("/"):
            return _SERVICE_UNKNOWN
        return _SERVING if any(self._models.is_serving(model) for model in known) else _NOT_SERVING
