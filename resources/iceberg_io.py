"""PyIceberg's access to files, sharing what is expensive: making an S3 file system costs 10 ms, each loaded table makes two."""

import os
import threading
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFileIO

__all__ = ["SharedFileIO"]

_lock = threading.Lock()
_made: dict[tuple[Any, ...], Any] = {}


class SharedFileIO(PyArrowFileIO):
    """PyArrow's file access, with one file system a process for the same place, settings and credentials.

    PyIceberg makes it by name (`py-io-impl`).
    """

    def _initialize_fs(self, scheme: str, netloc: str | None = None) -> Any:
        settings = tuple(sorted((k, v) for k, v in self.properties.items() if k.startswith(("s3.", "client."))))
        # Arrow finds credentials in the environment when a file system is made: other variables, another file system.
        found = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith("AWS_")))
        key = (scheme, netloc, settings, found)
        with _lock:
            if key not in _made:
                _made[key] = super()._initialize_fs(scheme, netloc)
            return _made[key]
