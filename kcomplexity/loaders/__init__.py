"""File formats: one module each; :mod:`kcomplexity.loaders.base` states the contract."""

from __future__ import annotations

from kcomplexity.files.zips import LOCAL_HEADER as ZIP
from kcomplexity.loaders.base import LOADERS, Loader, Options
from kcomplexity.loaders.deferred import Deferred
from kcomplexity.loaders.mosaic import MosaicLoader
from kcomplexity.loaders.npy import NpyLoader
from kcomplexity.loaders.npz import NpzLoader
from kcomplexity.loaders.opening import open_checkpoint
from kcomplexity.loaders.safetensors import SafetensorsLoader
from kcomplexity.loaders.sharded import ShardedLoader

__all__ = ["LOADERS", "Loader", "Options", "open_checkpoint"]

# In the order in which they are asked; the first that recognises the content gets the file.
LOADERS.register("mosaic", MosaicLoader())
LOADERS.register("safetensors", SafetensorsLoader())
LOADERS.register("zarr", Deferred("zarr:ZarrLoader", folders=True))
LOADERS.register("sharded", ShardedLoader())
LOADERS.register("npz", NpzLoader())
LOADERS.register("npy", NpyLoader())
LOADERS.register(
    "pytorch", Deferred("pytorch:PytorchLoader", heads=(ZIP, b"\x80\x02", b"sys_info"))
)
LOADERS.register("hdf5", Deferred("hdf5:Hdf5Loader", heads=(ZIP, b"\x89HDF")))
LOADERS.register("onnx", Deferred("onnx:OnnxLoader", heads=(b"\x08", b"\x12", b"\x3a")))
LOADERS.register("gguf", Deferred("gguf:GgufLoader", heads=(b"GGUF",)))
LOADERS.register("tflite", Deferred("tflite:TfliteLoader", heads=(b"TFL3",), at=4))
LOADERS.register("flax", Deferred("flax:FlaxLoader", suffixes=(".msgpack",)))
