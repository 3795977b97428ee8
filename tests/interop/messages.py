"""Messages, enums and services of .proto files as plain values that can be compared."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

Field = tuple[str, str, bool, str]
"""Name, type, whether it is repeated, and the full name of its message or enum."""


@dataclass
class Protos:
    """Everything that some .proto files define, by full name."""

    messages: dict[str, dict[int, Field]] = field(default_factory=dict)
    enums: dict[str, dict[str, int]] = field(default_factory=dict)
    methods: dict[str, tuple[str, str, bool, bool]] = field(default_factory=dict)

    @classmethod
    def of(cls, serialized: Iterable[bytes]) -> "Protos":
        made = cls()
        for data in serialized:
            file = FileDescriptorProto.FromString(data)
            for message in file.message_type:
                made._add_message(file.package, message)
            for enum in file.enum_type:
                made._add_enum(file.package, enum)
            for service in file.service:
                for method in service.method:
                    made.methods[f"{file.package}.{service.name}/{method.name}"] = (
                        method.input_type.removeprefix("."),
                        method.output_type.removeprefix("."),
                        method.client_streaming,
                        method.server_streaming,
                    )
        return made

    @classmethod
    def of_base64(cls, texts: Iterable[str]) -> "Protos":
        return cls.of(base64.b64decode(text) for text in texts)

    def _add_message(self, scope: str, message: DescriptorProto) -> None:
        name = f"{scope}.{message.name}"
        self.messages[name] = {
            each.number: (
                each.name,
                FieldDescriptorProto.Type.Name(each.type),
                each.label == FieldDescriptorProto.LABEL_REPEATED,
                each.type_name.removeprefix("."),
            )
            for each in message.field
        }
        for nested in message.nested_type:
            self._add_message(name, nested)
        for enum in message.enum_type:
            self._add_enum(name, enum)

    def _add_enum(self, scope: str, enum: EnumDescriptorProto) -> None:
        self.enums[f"{scope}.{enum.name}"] = {value.name: value.number for value in enum.value}
