"""The rules of the protos, which the generated code has as options of an unknown number."""

from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldOptions
from google.protobuf.message import Message

from protos.generate import validate_descriptor

for _file in validate_descriptor().file:
    # From here on this process knows what the options mean, whoever parses them.
    descriptor_pool.Default().AddSerializedFile(_file.SerializeToString())
_FIELD: Any = descriptor_pool.Default().FindExtensionByName("buf.validate.field")


def rules_of(field: FieldDescriptor) -> Message:
    """The `buf.validate.FieldRules` of a field; without any, the empty ones."""
    options = FieldOptions.FromString(field.GetOptions().SerializeToString())
    rules: Message = options.Extensions[_FIELD]
    return rules
