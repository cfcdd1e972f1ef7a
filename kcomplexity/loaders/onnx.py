"""ONNX models: initialisers and constants, in the file or in files next to it.

The protocol buffer is walked field by field (:mod:`kcomplexity.files.protobuf`), so no library
is needed and no weight is read to open a model. External data are read only from files inside the
model's folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.protobuf import Message, Reader
from kcomplexity.files.streams import whole_file
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.notes import left_out
from kcomplexity.loaders.onnx_tensors import TEXT, Proto, TensorReader, read_entry
from kcomplexity.tensors.checkpoint import Checkpoint, Layout, Tensor
from kcomplexity.text import plural, printable, shorten

_MOST_DEPTH = 16


@dataclass(frozen=True)
class OnnxLoader:
    """One ``.onnx`` model; its tensors are in the order of the file."""

    extensions: tuple[str, ...] = (".onnx",)

    def sniff(self, path: Path, head: bytes) -> bool:
        # The first bytes, which are checked already, are common: the name has to help.
        return path.suffix.lower() in self.extensions

    def load(self, path: Path, options: Options) -> Checkpoint:
        with open_for_loading(path) as source:
            reader = Reader(whole_file(source), printable(path))
            model = _Model(reader, TensorReader(path, source, reader))
            try:
                model.read()
                sources = (source, *model.tensor_reader.external.values())
                tensors = model.named()
                total = sum(file.size() for file in sources)
            except BaseException:
                for other in model.tensor_reader.external.values():
                    other.close()
                raise
        rest = max(total - sum(tensor.n_bytes for tensor in tensors.values()), 0)
        notes = tuple(model.notes)
        return Checkpoint(str(path), "onnx", tensors, model.metadata, sources, rest, notes)


@dataclass
class _Model:
    """Walks over the model and gathers its tensors."""

    reader: Reader
    tensor_reader: TensorReader
    tensors: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: Constants that are not tensors of the graph.
    _n_numbers: int = 0
    _n_inner: int = 0
    #: Inputs that a matrix product takes as (in, out).
    _in_out: set[str] = field(default_factory=set)
    #: Scales and zero points -> the codes they belong to.
    _side_of: dict[str, str] = field(default_factory=dict)

    def read(self) -> None:
        facts = {2: "producer_name", 3: "producer_version", 4: "domain"}
        n_graphs = 0
        for number, value in self.reader.messages(Message(0, self.reader.stream.size)):
            if number == 7:
                n_graphs += 1
                self._graph(value, "", 0)
            elif number == 14:
                self.metadata |= [read_entry(value, self.reader)]
            elif number == 25:
                self._function(value)
            elif number in facts:
                self.metadata[facts[number]] = self.reader.text(value)
        self._note_constants()
        if n_graphs != 1:
            raise self.reader.damaged(f"it holds {n_graphs} graphs; expected one")

    def _function(self, function: Message) -> None:
        for number, node in self.reader.messages(function):
            if number == 7:
                kinds = [self.reader.text(kind) for n, kind in self.reader.fields(node) if n == 4]
                self._n_inner += kinds == ["Constant"]

    def _note_constants(self) -> None:
        texts = ("written as numbers or texts", "of local functions")
        for n, what in zip((self._n_numbers, self._n_inner), texts, strict=True):
            if n:
                verb = "is" if n == 1 else "are"
                self.notes.append(
                    f"{plural(n, 'constant')} {what} {verb} left out: only tensors of the graph "
                    "are read"
                )

    def named(self) -> dict[str, Tensor]:
        """Return the tensors with what the nodes say about them."""
        named: dict[str, Tensor] = {}
        for name, tensor in self.tensors.items():
            codes = self._side_of.get(name, "")
            layout: Layout = "in-out" if name in self._in_out else "out-in"
            side_of = codes if codes in self.tensors else ""
            named[name] = replace(tensor, layout=layout, side_of=side_of)
        return named

    def _graph(self, graph: Message, prefix: str, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise self.reader.damaged(f"graphs lie more than {_MOST_DEPTH} deep in each other")
        for number, value in self.reader.messages(graph):
            if number == 1:
                self._node(value, prefix, depth)
            elif number == 5:
                self._add(Proto.read(value, self.reader), prefix)
            elif number == 15:
                self.notes.append(
                    f"a sparse tensor of {value.size} bytes is left out: only dense ones are read"
                )

    def _node(self, node: Message, prefix: str, depth: int) -> None:
        kind, inputs, outputs, transposed = "", [], [], False
        attributes = []
        for field_number, value in self.reader.fields(node):
            if field_number == 1:
                inputs.append(prefix + self.reader.text(value))
            elif field_number == 2:
                outputs.append(self.reader.text(value))
            elif field_number == 4:
                kind = self.reader.text(value)
            elif field_number == 5 and isinstance(value, Message):
                attributes.append(value)
        for attribute in attributes:
            name, number, nested = self._attribute(attribute)
            transposed |= name == "transB" and number == 1
            for inner in nested[6]:
                self._graph(inner, f"{prefix}{outputs[0] if outputs else kind}/", depth + 1)
            self._n_numbers += kind == "Constant" and name != "value"
            if kind == "Constant" and name == "value" and nested[5] and outputs:
                proto = Proto.read(nested[5][0], self.reader)
                proto.name = outputs[0]
                self._add(proto, prefix)
        if len(inputs) > 1 and (kind == "MatMul" or (kind == "Gemm" and not transposed)):
            self._in_out.add(inputs[1])
        if kind == "DequantizeLinear":
            self._side_of |= dict.fromkeys(inputs[1:3], inputs[0])

    def _attribute(self, attribute: Message) -> tuple[str, int, dict[int, list[Message]]]:
        """Return an attribute's name, its number, and the tensors (5) and graphs (6) in it."""
        name, number = "", 0
        nested: dict[int, list[Message]] = {5: [], 6: []}
        for field_number, value in self.reader.fields(attribute):
            if field_number == 1:
                name = self.reader.text(value)
            elif field_number == 3 and isinstance(value, int):
                number = value
            elif field_number in (5, 6, 11) and isinstance(value, Message):
                nested[5 if field_number == 5 else 6].append(value)
        return name, number, nested

    def _add(self, proto: Proto, prefix: str) -> None:
        name = prefix + proto.name
        if proto.data_type == TEXT:
            self.notes.append(left_out(name, "it holds text"))
            return
        if not name or name in self.tensors:
            raise CorruptCheckpointError(
                f"{self.reader.where}: tensor {shorten(name)} has no name of its own; the file is "
                "damaged"
            )
        self.tensors[name] = self.tensor_reader.tensor(name, proto)
