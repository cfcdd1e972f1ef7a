"""Copy tensors to disk where workers could not read their ranges cheaply."""

from __future__ import annotations

from kcomplexity.files.sources import FileSource
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import StoredTensor, Tensor

#: Tensors in memory up to this size travel to another process inside the pickle.
_PICKLED = 64 << 20


def spool(tensor: Tensor, pool: Pool) -> Tensor:
    """Return `tensor` itself if any worker can read any range of it cheaply, else a copy on disk.

    The copy holds the stored bytes, in a temporary file that is removed with the pool.
    """
    portable = pool.shares_memory or isinstance(tensor, StoredTensor)
    if tensor.addressable and (portable or tensor.n_bytes <= _PICKLED):
        return tensor
    path = pool.temporary_file()
    source = FileSource(path)
    pool.at_exit(source.close)
    with path.open("wb") as file:
        for piece in tensor.pieces():
            file.write(piece)
    return StoredTensor(
        tensor.name, tensor.shape, tensor.dtype, layout=tensor.layout, source=source, offset=0
    )
