"""How the files of the pages come to a browser."""

import gzip
import re

import pytest

from centralino.rig.desk_server import DeskServer
from desk.pages import STATIC

pytestmark = pytest.mark.contract


async def test_files_named_by_their_version_are_kept_for_ever_and_others_are_asked_for_again(
    served: DeskServer,
) -> None:
    async with served.browser() as page:
        index = (await page.get(f"{served.url}/")).text
        (address,) = re.findall(r'<script type="module" src="([^"]+/js/app.js)">', index)
        assert index.count("/static/") == index.count("/static/v-") > 5
        kept = await page.get(served.url + address)
        assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
        for other in ("/static/js/app.js", "/static/v-0123456789abcdef/js/app.js"):
            again = await page.get(served.url + other)
            assert again.content == kept.content
            assert again.headers["cache-control"] == "no-cache"


async def test_scripts_and_styles_come_compressed_where_the_browser_can_read_it(served: DeskServer) -> None:
    plain = (STATIC / "js/app.js").read_bytes()
    async with served.browser() as page:
        async with page.stream("GET", f"{served.url}/static/js/app.js") as answer:
            packed = b"".join([piece async for piece in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed) == plain
        assert len(packed) < len(plain) / 2
        unpacked = await page.get(f"{served.url}/static/js/app.js", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in unpacked.headers
        assert unpacked.content == plain
        assert answer.headers["vary"] == unpacked.headers["vary"] == "accept-encoding"
        assert answer.headers["etag"] != unpacked.headers["etag"]
        font = await page.get(f"{served.url}/static/vendor/inter.woff2")
        assert "content-encoding" not in font.headers


async def test_a_file_that_is_the_same_is_not_sent_again(served: DeskServer) -> None:
    async with served.browser() as page:
        for encoding in ("gzip", "identity"):
            headers = {"accept-encoding": encoding}
            first = await page.get(f"{served.url}/static/css/base.css", headers=headers)
            again = await page.get(
                f"{served.url}/static/css/base.css", headers=headers | {"if-none-match": first.headers["etag"]}
            )
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/app.py", "v-x/%2e%2e/%2e%2e/app.py", "v-x", "v-x/js", ""])
async def test_nothing_outside_the_folder_is_given(served: DeskServer, path: str) -> None:
    async with served.browser() as page:
        assert (await page.get(f"{served.url}/static/{path}")).status_code == 404
