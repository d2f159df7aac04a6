"""The files of the pages: compressed once, and kept by browsers for as long as they are the same.

A browser keeps a file without asking again when its address names this version of all files, such as
`/static/v-.../js/app.js`. The files name each other by relative addresses, so the start page alone has to know the
version. Under `/static/js/app.js`, or the version of another worker, the same file is asked for again each time.
"""

import gzip
import mimetypes
import os
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).with_name("static")
COMPRESSED = frozenset({".css", ".js", ".svg"})
"""Other files are small, or compressed already."""
FOR_EVER = "public, max-age=31536000, immutable"


class Pages(StaticFiles):
    """Serves the folder `desk/static`."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)
        self.version = version()
        index = (STATIC / "index.html").read_text(encoding="utf-8")
        self.index = index.replace('"/static/', f'"/static/{self.version}/')
        """The start page, which names this version of all files."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer a request for a file, of this version or of none that is known."""
        folder, _, rest = path.partition(os.sep)
        if not folder.startswith("v-"):
            return await super().get_response(path, scope)
        response = await super().get_response(rest, scope)
        if folder == self.version:
            response.headers["cache-control"] = FOR_EVER
        return response

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Answer with a file, compressed where that is worth it and the browser can read it."""
        asked = Headers(scope=scope)
        if Path(full_path).suffix not in COMPRESSED or "gzip" not in asked.get("accept-encoding", ""):
            response = super().file_response(full_path, stat_result, scope, status_code)
        else:
            content, etag = _compressed(os.fspath(full_path), stat_result.st_mtime_ns)
            media_type = mimetypes.guess_type(full_path)[0]
            headers = {"content-encoding": "gzip", "etag": etag}
            response = Response(content, status_code, headers=headers, media_type=media_type)
            if self.is_not_modified(response.headers, asked):
                response = NotModifiedResponse(response.headers)
        response.headers["vary"] = "accept-encoding"
        return response


@lru_cache(maxsize=256)
def _compressed(path: str, _changed: int) -> tuple[bytes, str]:
    content = gzip.compress(Path(path).read_bytes(), compresslevel=9, mtime=0)
    return content, f'"{sha256(content).hexdigest()[:32]}"'


@lru_cache(maxsize=1)
def version() -> str:
    """What tells these files from those of another version, as it stands in the addresses of the start page."""
    digest = sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(STATIC)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return f"v-{digest.hexdigest()[:16]}"
